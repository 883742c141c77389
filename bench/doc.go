// Bench measures KubeFoundry against the plain way of doing the same, both in one run on one machine, and prints the ratio
// beside the aim. It is no test: nothing fails because a machine is slow, and a ratio that misses its aim says so.
//
//	list       lists from the view, against a handler that lists from the API server for each request
//	fanout     events to many streams, against a net/http handler that writes the same rendered bytes
//	freshness  a status written in Kubernetes until a stream has it, against a bare watch of the same object
//	lifecycle  create until it is listed and delete until it is gone, against client-go with the same objects
//	scale      start, memory and idle CPU of the whole, at 1,000 nodes and at a tenth of that
//
// Its one law: what is measured runs in a process of its own, and what loads it in another. Servers are this program
// again, in a role (role.go), or the kubefoundry binary; CPU is what the kernel counted for that process. All requests go
// to loopback, and are bounded in number and time.
package main
