// Kubefoundry is one binary: `serve`, which watches a cluster and serves what it sees, `watch`, which shows that in a
// terminal, live, and `version`.
//
// Its one law: a command decides nothing. It reads flags and the environment, puts the packages together, and starts and
// ends them in order.
package main
