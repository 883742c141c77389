package watch

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/kubefoundry/kubefoundry/api"
)

// cause is why a document is recomputed.
type cause struct {
	// received is when the change reached this process; of several the first.
	received time.Time
	// initial says that nothing happened: the objects were there when they were first listed.
	initial bool
}

func (c cause) and(other cause) cause {
	if other.received.Before(c.received) {
		c.received = other.received
	}
	c.initial = c.initial && other.initial
	return c
}

// queue holds the keys of the documents to recompute, each once, with their causes. No key is handed to two workers at
// the same time. It can also tell when all that waited at a moment is done: see barrier.
type queue struct {
	keys workqueue.TypedDelayingInterface[api.Key]

	mu       sync.Mutex
	causes   map[api.Key]cause     // waiting
	working  map[api.Key]struct{}  // handed to a worker
	barriers map[api.Kind]*barrier // at most one for each kind
}

// barrier waits for keys. It stands for "every document of this kind, as of now, was recomputed and published". What is
// queued later does not hold it up, or a document that changes all the time would for ever.
type barrier struct {
	// left tells of each key whether the work on it that counts has begun.
	left map[api.Key]bool
	done func()
}

func newQueue() *queue {
	return &queue{
		keys:     workqueue.NewTypedDelayingQueue[api.Key](),
		causes:   map[api.Key]cause{},
		working:  map[api.Key]struct{}{},
		barriers: map[api.Kind]*barrier{},
	}
}

// add asks for a document to be recomputed at once.
func (q *queue) add(key api.Key, c cause) { q.addAfter(key, c, 0) }

// addAfter asks for it after some time, so that many changes to one document cost one recomputation.
func (q *queue) addAfter(key api.Key, c cause, delay time.Duration) {
	q.mu.Lock()
	if before, ok := q.causes[key]; ok {
		c = before.and(c)
	}
	q.causes[key] = c
	q.mu.Unlock()
	q.keys.AddAfter(key, delay)
}

// again asks for a document to be recomputed when time alone may have changed it. Barriers do not wait for it.
func (q *queue) again(key api.Key, delay time.Duration) { q.keys.AddAfter(key, delay) }

// next waits for a key. It returns false when the queue was shut.
func (q *queue) next() (api.Key, cause, bool) {
	key, shut := q.keys.Get()
	if shut {
		return api.Key{}, cause{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	c, ok := q.causes[key]
	if !ok { // its time has come, or a delayed addition was overtaken by an immediate one
		c = cause{received: time.Now()}
	}
	delete(q.causes, key)
	q.working[key] = struct{}{}
	for _, b := range q.barriers {
		if _, waits := b.left[key]; waits {
			b.left[key] = true
		}
	}
	return key, c, true
}

// done says that the key's document was published.
func (q *queue) done(key api.Key) {
	q.mu.Lock()
	delete(q.working, key)
	var reached []func()
	for kind, b := range q.barriers {
		if b.left[key] {
			delete(b.left, key)
		}
		if len(b.left) == 0 {
			delete(q.barriers, kind)
			reached = append(reached, b.done)
		}
	}
	q.mu.Unlock()
	q.keys.Done(key)
	for _, f := range reached {
		f()
	}
}

// barrier calls done, once, when every document of the kind that waits or is in work now was published. It replaces an
// earlier barrier of the kind.
func (q *queue) barrier(kind api.Kind, done func()) {
	q.mu.Lock()
	b := &barrier{left: map[api.Key]bool{}, done: done}
	for key := range q.working {
		if key.Kind == kind {
			b.left[key] = true
		}
	}
	for key := range q.causes {
		if key.Kind == kind {
			b.left[key] = false // work that began before does not know of this cause
		}
	}
	delete(q.barriers, kind)
	reached := len(b.left) == 0
	if !reached {
		q.barriers[kind] = b
	}
	q.mu.Unlock()
	if reached {
		done()
	}
}

// lift forgets the kind's barrier.
func (q *queue) lift(kind api.Kind) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.barriers, kind)
}

func (q *queue) len() int { return q.keys.Len() }

func (q *queue) shut() { q.keys.ShutDown() }
