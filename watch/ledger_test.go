package watch

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// However pods come, move and go, the ledger says what a full recount of the pods says.
func TestTheLedgerEqualsARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		pods := map[string]entry{}
		node := rapid.SampledFrom([]string{"", "a", "b", "c"})
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			name := strconv.Itoa(rapid.IntRange(0, 20).Draw(t, "pod"))
			next := entry{node: node.Draw(t, "node"), gpus: rapid.IntRange(0, 8).Draw(t, "gpus")}
			before, changed := l.set(name, next)
			held := pods[name]
			if held.gpus == 0 {
				held = entry{}
			}
			require.Equal(t, held, before)
			if next.gpus == 0 {
				require.Equal(t, before != entry{}, changed)
				delete(pods, name)
			} else {
				require.Equal(t, before != next, changed)
				pods[name] = next
			}
			nodes, pending := map[string]int{}, 0
			for _, e := range pods {
				if e.node == "" {
					pending += e.gpus
				} else {
					nodes[e.node] += e.gpus
				}
			}
			require.Equal(t, nodes, l.nodes)
			require.Equal(t, pending, l.waiting())
			require.Equal(t, nodes["a"], l.on("a"))
		}
	})
}
