package api

import "time"

// Event is something that happened to a document, with its meaning, for automation. The bus sends it in CloudEvents form
// on the subject `kubefoundry.events.<kind>.<namespace or _>.<id>.<change>`.
type Event struct {
	Key    Key
	Change EventChange
	Time   time.Time
	// Message is one line for a person, such as "Pending -> Failed: CrashLoopBackOff in 2 pods".
	Message string
	// Document is the document after the change, nil where it is gone; Previous the one before, nil where it is new.
	Document, Previous []byte
}

// EventChange is the last token of an event's subject.
type EventChange string

// What can happen. A document that changed in a way that has a meaning of its own causes that event instead of `changed`.
const (
	EventCreated      EventChange = "created"
	EventChanged      EventChange = "changed"
	EventDeleted      EventChange = "deleted"
	EventPhaseChanged EventChange = "phase-changed" // deployments
	EventPodCrashed   EventChange = "crashed"       // pods: a container ended with an error or crash-loops
	EventGPUsLost     EventChange = "gpus-lost"     // capacity: fewer GPUs in all than before
	EventGPUsGained   EventChange = "gpus-gained"   // capacity: more GPUs in all than before

	EventOperationFinished EventChange = "finished" // operations: it has ended, in whatever way
)
