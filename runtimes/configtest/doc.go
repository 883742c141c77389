// Package configtest draws configurations that a runtime can build, for tests: every mode, engine and option, with texts in
// them that a shell, YAML or Kubernetes would take for more than text.
//
// Its one law: what it draws is right, so that what is refused is a fault. What is drawn comes with what it has to come to.
package configtest
