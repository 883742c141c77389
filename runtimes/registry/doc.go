// Package registry lists the runtimes. Its one law: a runtime is one line here, and nothing else in the project names it.
package registry
