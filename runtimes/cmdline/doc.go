// Package cmdline reads the flags of a container's command, as far as a model server's settings are given there: as a list
// of arguments or as one line for a shell.
//
// Its one law: it runs and expands nothing. A line that a shell would refuse is read up to where it goes wrong.
package cmdline
