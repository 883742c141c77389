// Package modelserver answers for the pods of a development cluster: the HTTP of
// model servers, and the logs of their containers.
//
// Its one law: every answer is a function of the pod and the time. Two requests
// at the same moment get the same numbers, a log line keeps its time and text
// however often it is read, and nothing is stored per pod. So thousands of pods
// cost one HTTP server and no listener.
//
// It speaks for vLLM, llama.cpp, Ray with Ray Serve, and Dynamo's frontend and
// workers, with the paths, metric names and content types that those have; the
// words that a model says are nonsense.
//
// A [Fleet] is made once per process and used from any goroutine.
package modelserver
