package bus

import (
	"bytes"
	"sync"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// desired is what the bucket should hold, and what has to be done to make it so: one task for each document that may
// differ, whatever happened to it meanwhile, in the order in which they became due.
//
// mu guards everything, including the documents that the map points to. It is held for a map access and a few words, but
// for refill, which visits every document once.
type desired struct {
	mu        sync.Mutex
	documents map[api.Key]*document
	settled   map[api.Kind]bool
	queue     queue

	// wake holds a value if the queue may have become non-empty.
	wake chan struct{}
}

// document is what should be under a key.
type document struct {
	key      api.Key
	json     []byte // nil: should not be there
	received time.Time
	version  uint64 // rises with each change
	sure     bool   // the bucket acknowledged this version
	due      *task  // the task in the queue, nil if there is none
}

// task is one thing to do: to put or purge a document, to settle a kind, or to mark the bucket as filled.
type task struct {
	document *document
	settle   api.Kind
	mark     bool
	place    int // in the queue

	// What was to be sent when the task was taken from the queue.
	key      api.Key
	json     []byte
	received time.Time
	version  uint64
}

// waits tells whether all before the task must have been acknowledged before it is done: what is said of a kind must not
// reach the bucket before what it is said of.
func (t *task) waits() bool { return t.document == nil || t.key.Kind == api.KindSources }

func newDesired() *desired {
	return &desired{
		documents: map[api.Key]*document{},
		settled:   map[api.Kind]bool{},
		wake:      make(chan struct{}, 1),
	}
}

// set makes json what should be under the key, nil for nothing. It tells whether that overtook a change not sent yet.
func (d *desired) set(key api.Key, json []byte, received time.Time) (coalesced bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc := d.documents[key]
	switch {
	case doc == nil:
		doc = &document{key: key}
		d.documents[key] = doc
	case (doc.json == nil) == (json == nil) && bytes.Equal(doc.json, json):
		return false // the bucket has it, or will
	}
	doc.json, doc.received, doc.sure = json, received, false
	doc.version++
	coalesced = doc.due != nil
	if coalesced && key.Kind != api.KindSources {
		return true // keeps its place, so that a document that changes all the time is not put off for ever
	}
	d.enqueue(doc)
	return coalesced
}

// enqueue puts the document at the end of the queue, wherever it was.
func (d *desired) enqueue(doc *document) {
	if doc.due != nil {
		d.queue.remove(doc.due)
	}
	doc.due = &task{document: doc, key: doc.key}
	d.queue.push(doc.due)
	d.signal()
}

func (d *desired) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// settle has everything of the kind purged that is not desired, now and after each refill.
func (d *desired) settle(kind api.Kind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settled[kind] = true
	d.queue.push(&task{settle: kind})
	d.signal()
}

// mark has the bucket marked as filled after all that is due now.
func (d *desired) mark() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue.push(&task{mark: true})
	d.signal()
}

// next takes the first task, nil if there is none.
func (d *desired) next() *task {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.queue.pop()
	if t != nil && t.document != nil {
		t.take()
		t.document.due = nil
	}
	return t
}

// take notes what is to be sent. The lock is held.
func (t *task) take() {
	t.json, t.received, t.version = t.document.json, t.document.received, t.document.version
}

// acknowledged notes that the bucket has what the task sent.
func (d *desired) acknowledged(t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc := t.document
	if doc.version != t.version {
		return
	}
	doc.sure = true
	if doc.json == nil {
		delete(d.documents, doc.key)
	}
}

// unwanted returns tasks that purge those of the keys, all of one kind, that are not desired.
func (d *desired) unwanted(held []api.Key) []*task {
	d.mu.Lock()
	defer d.mu.Unlock()
	var tasks []*task
	for _, key := range held {
		if t := d.purge(key); t != nil {
			t.take()
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// purge returns a task, not queued, that purges a key of which nothing is known. The lock is held.
func (d *desired) purge(key api.Key) *task {
	if d.documents[key] != nil {
		return nil // wanted, or about to be purged
	}
	doc := &document{key: key, received: time.Now(), version: 1}
	d.documents[key] = doc
	return &task{document: doc, key: key}
}

// refill compares what should be in the bucket with what it holds, and queues what differs, in place of all that was
// queued: the documents, those of api.KindSources after the others, and last the mark. It returns how many there are of
// each sort.
func (d *desired) refill(held map[api.Key][]byte) (puts, purges int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range held {
		if d.settled[key.Kind] {
			d.purge(key)
		}
	}
	d.queue = queue{}
	var sources []*document
	for key, doc := range d.documents {
		doc.due = nil
		json, there := held[key]
		doc.sure = there && doc.json != nil && bytes.Equal(json, doc.json)
		switch {
		case doc.sure:
		case doc.json == nil && !there:
			delete(d.documents, key)
		case key.Kind == api.KindSources:
			sources = append(sources, doc)
		default:
			d.enqueue(doc)
		}
		if !doc.sure && doc.json != nil {
			puts++
		} else if doc.json == nil && there {
			purges++
		}
	}
	for _, doc := range sources {
		d.enqueue(doc)
	}
	d.queue.push(&task{mark: true})
	d.signal()
	return puts, purges
}
