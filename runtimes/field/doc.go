// Package field reads single fields of custom resources that were decoded without a Go type.
//
// Its one law: it copies nothing and fails at nothing. A field that is missing, or is of another type than asked for, reads
// as the zero value; what is returned belongs to the object and must not be changed.
package field
