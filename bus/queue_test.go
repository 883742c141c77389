package bus

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestQueueIsAListOneCanRemoveFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var list []*task
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "many") {
					added := &task{}
					q.push(added)
					list = append(list, added)
				}
			},
			"pop": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "many") {
					got := q.pop()
					if len(list) == 0 {
						assert.Nil(t, got)
						return
					}
					assert.Same(t, list[0], got)
					list = list[1:]
				}
			},
			"remove": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				q.remove(list[i])
				list = slices.Delete(slices.Clone(list), i, i+1)
			},
		})
	})
}
