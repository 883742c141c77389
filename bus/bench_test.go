package bus

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// counter is a Sink that notes how far it is.
type counter struct {
	epoch    string
	keys     map[api.Key]struct{}
	revision atomic.Uint64
	applied  chan api.Entry
	calls    atomic.Int64
	entries  atomic.Int64
	served   atomic.Bool
}

func newCounter() *counter {
	return &counter{keys: map[api.Key]struct{}{}, applied: make(chan api.Entry, 1<<16)}
}

func (c *counter) Apply(epoch string, entries []api.Entry, complete bool) {
	c.epoch = epoch
	c.calls.Add(1)
	c.entries.Add(int64(len(entries)))
	for _, e := range entries {
		c.keys[e.Key] = struct{}{}
		c.revision.Store(e.Revision)
		if e.Key.Kind == api.KindPods {
			c.applied <- e
		}
	}
	if complete {
		c.served.Store(true)
	}
}

func (c *counter) Position() (string, uint64, int) { return c.epoch, c.revision.Load(), len(c.keys) }

func benchmarkBus(b *testing.B, dir string) (*Publisher, *counter) {
	b.Helper()
	bus, err := Open(context.Background(), Config{StoreDir: dir}, zap.NewNop(), nil)
	require.NoError(b, err)
	b.Cleanup(bus.Close)
	p, sink := bus.Publisher(), newCounter()
	start(b, p.Run, follow(bus, sink))
	require.Eventually(b, sink.served.Load, 5*time.Second, time.Millisecond)
	return p, sink
}

func benchmarkStores(b *testing.B, run func(b *testing.B, dir string)) {
	b.Run("memory", func(b *testing.B) { run(b, "") })
	b.Run("file", func(b *testing.B) { run(b, b.TempDir()) })
}

// processorTime is what this process has used so far. Unlike the time on the clock it means something on a busy machine.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// document300 is as large as a document usually is.
func document300(i int) []byte {
	return fmt.Appendf(make([]byte, 0, 320), `{"i":%d,"text":"%0280d"}`, i, 0)
}

// BenchmarkLatency measures one document at a time from Put to Apply, at 2000 documents per second.
func BenchmarkLatency(b *testing.B) {
	benchmarkStores(b, func(b *testing.B, dir string) {
		p, sink := benchmarkBus(b, dir)
		var took []time.Duration
		tick := time.NewTicker(500 * time.Microsecond)
		defer tick.Stop()
		for i := 0; b.Loop(); i++ {
			<-tick.C
			began := time.Now()
			p.Put(api.Document{Key: pod(i % 1000), JSON: document300(i)}, began)
			<-sink.applied
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	})
}

// BenchmarkThroughput measures documents of 10,000 different keys, put in bursts that are not coalesced, until all of
// them are applied.
func BenchmarkThroughput(b *testing.B) {
	benchmarkStores(b, func(b *testing.B, dir string) {
		const keys = 10_000
		p, sink := benchmarkBus(b, dir)
		calls, entries := sink.calls.Load(), sink.entries.Load()
		sent := 0
		began, spent := time.Now(), processorTime(b)
		for b.Loop() {
			for i := range keys {
				p.Put(api.Document{Key: pod(i), JSON: document300(sent)}, began)
				sent++
			}
			for range keys {
				<-sink.applied
			}
		}
		b.ReportMetric(float64(sent)/time.Since(began).Seconds(), "docs/s")
		b.ReportMetric(float64((processorTime(b)-spent).Microseconds())/float64(sent), "cpu-µs/doc")
		b.ReportMetric(float64(sink.entries.Load()-entries)/float64(sink.calls.Load()-calls), "docs/apply")
	})
}

// BenchmarkFill measures how long it takes until a follower serves what a publisher puts into an empty bucket.
func BenchmarkFill(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				bus, err := Open(context.Background(), Config{}, zap.NewNop(), nil)
				require.NoError(b, err)
				p, sink := bus.Publisher(), newCounter()
				go func() {
					for range sink.applied {
					}
				}()
				for i := range n {
					p.Put(api.Document{Key: pod(i), JSON: document300(i)}, time.Now())
				}
				b.StartTimer()
				stop := start(b, p.Run, follow(bus, sink))
				for !sink.served.Load() {
					time.Sleep(100 * time.Microsecond)
				}
				b.StopTimer()
				stop()
				close(sink.applied)
				bus.Close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkPut measures what a caller pays.
func BenchmarkPut(b *testing.B) {
	d := newDesired()
	documents := make([]api.Document, 1000)
	for i := range documents {
		documents[i] = api.Document{Key: pod(i), JSON: document300(i)}
	}
	b.ReportAllocs()
	other := document300(-1)
	for i := 0; b.Loop(); i++ {
		doc := documents[i%len(documents)]
		if i/len(documents)%2 == 1 {
			doc.JSON = other
		}
		d.set(doc.Key, doc.JSON, time.Time{})
		if t := d.next(); t != nil {
			d.acknowledged(t)
		}
	}
}
