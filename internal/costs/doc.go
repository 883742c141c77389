// Package costs tells what machines cost: from the provider's own price service where there is one without a login (Azure), or
// from a table of list prices that is kept as data and has a date.
//
// Its one law: a figure comes with where it is from, when that was and how far it can be believed, and what is not known has
// no figure. A price is never zero because nobody knows it.
//
// Prices may be used by any number of goroutines. The same question at the same time is asked once; answers are kept for an
// hour, that there is no such price for ten minutes, and that the service cannot be reached for half a minute.
package costs
