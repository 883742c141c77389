package bus

// queue is a first-in, first-out queue of tasks of which any can be removed. Its zero value is empty.
type queue struct {
	tasks []*task // nil where one was removed or taken
	head  int
	taken int // tasks dropped from the front of the slice: a task's place counts from the first ever queued
}

func (q *queue) push(t *task) {
	t.place = q.taken + len(q.tasks)
	q.tasks = append(q.tasks, t)
}

// pop returns nil if the queue is empty.
func (q *queue) pop() *task {
	for q.head < len(q.tasks) {
		t := q.tasks[q.head]
		q.tasks[q.head] = nil
		q.head++
		if t != nil {
			q.compact()
			return t
		}
	}
	q.compact()
	return nil
}

// remove takes a task out that is in the queue.
func (q *queue) remove(t *task) { q.tasks[t.place-q.taken] = nil }

// compact lets go of the front once it is most of the slice, which costs each task one move at most on average.
func (q *queue) compact() {
	if q.head < 64 || q.head*2 < len(q.tasks) {
		return
	}
	n := copy(q.tasks, q.tasks[q.head:])
	clear(q.tasks[n:])
	q.tasks = q.tasks[:n]
	q.taken += q.head
	q.head = 0
}
