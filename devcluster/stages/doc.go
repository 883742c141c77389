// Package stages says how simulated nodes and pods live: KWOK Stage objects, each
// a condition on an object, a delay and a status to write then.
//
// Its one law: a pod's fate stands on the pod itself, in the annotations named
// here, and may be changed while the pod lives; the stages look at nothing else.
// Status is written as a kubelet writes it: conditions keep their transition time
// while their status stays, restart counts only rise, and a container that failed
// says so in its last state.
package stages
