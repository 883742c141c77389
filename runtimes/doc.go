// Package runtimes reads and builds the custom resources of the inference runtimes. It holds the Runtime interface and what
// is true of every runtime: how a deployment's document is put together from its custom resource, its pods and their events;
// how a configuration is checked, and what of it becomes part of every manifest.
//
// Its one law: everything here is a pure function of the objects given. Nothing is fetched, nothing is kept, no object is
// changed; any goroutine may call it. Objects come from users and from operators of many versions, so a field that is
// missing or of an unexpected type is treated as absent and never stops the projection.
package runtimes
