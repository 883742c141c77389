// Package settings keeps what is set for a whole installation: the ConfigMap kubefoundry-config, key config.json, in the
// server's own namespace.
//
// Its one law: what is stored is what holds, in every replica. Each replica watches the ConfigMap and keeps nothing of its
// own; a change is written as the caller, on top of the version that it was made for, and is refused where another came
// between. What cannot be read is said to be so, and is never overwritten with defaults. Keys that this version does not know
// stay as they are.
//
// A Store may be used from any goroutine once it is made; Run is called once.
package settings
