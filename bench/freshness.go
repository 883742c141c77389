package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

// freshnessBench writes a status and sees when it arrives.
type freshnessBench struct {
	quick       bool
	binary      string
	deployments int
	streams     int
	writes      int
}

func newFreshnessBench(flags *flag.FlagSet) *freshnessBench {
	b := &freshnessBench{}
	flags.BoolVar(&b.quick, "quick", false, "a tenth of everything, for seconds instead of minutes")
	flags.StringVar(&b.binary, "binary", "bin/kubefoundry", "the server to measure")
	flags.IntVar(&b.deployments, "deployments", 50, "deployments in the cluster")
	flags.IntVar(&b.streams, "streams", 1000, "open streams")
	flags.IntVar(&b.writes, "writes", 300, "writes of a status")
	return b
}

// Aims, above the bare watch.
const (
	aimFreshMedian = 5 * time.Millisecond
	aimFreshLate   = 60 * time.Millisecond
)

func (b *freshnessBench) run(ctx context.Context, out io.Writer) (err error) {
	if b.quick {
		b.streams, b.writes = b.streams/10, b.writes/10
	}
	kube, err := startAPIServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kube.stop()) }()
	if err := kube.deploy(ctx, 0, b.deployments); err != nil {
		return err
	}
	server, err := startServer(ctx, b.binary, kube.cluster.Kubeconfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	r := newReport(out, "freshness: from a status written (merge-patch of /status) to a client; the baseline is a watch of that object")
	const few = 10
	for _, crowds := range []struct{ all, concerned int }{{few, few}, {b.streams, few}, {b.streams, b.streams}} {
		if err := b.measure(ctx, r, kube, server, crowds.all, crowds.concerned); err != nil {
			return err
		}
	}
	return nil
}

// measure has some streams open, of which those that are concerned get the change: the others look at another namespace.
func (b *freshnessBench) measure(ctx context.Context, r *report, kube *apiServer, server *server, all, streams int) error {
	progress("freshness: %d streams, %d of them concerned", all, streams)
	others, err := newCrowd(ctx, server.address, streamPath+"&namespace=elsewhere", all-streams)
	if err != nil {
		return err
	}
	defer others.close()
	watcher, err := newWatcher(ctx, kube)
	if err != nil {
		return err
	}
	defer watcher.stop()
	crowd, err := newCrowd(ctx, server.address, streamPath, streams)
	if err != nil {
		return err
	}
	defer crowd.close()
	crowd.wait(0)
	crowd.forget()
	for range b.writes {
		if err := kube.report(ctx, 0, mark()); err != nil {
			return err
		}
		// Out of step with anything that the server does at intervals.
		if err := sleep(ctx, 80*time.Millisecond+rand.N(140*time.Millisecond)); err != nil { //nolint:gosec // no secret
			return err
		}
	}
	crowd.wait(0)
	every, bare := crowd.samples(), watcher.samples()
	one := crowd.members[streams/2].samples
	if lost := crowd.lost.Load(); lost > 0 || len(bare) == 0 || len(every) == 0 {
		return fmt.Errorf("%d streams were lost, %d events came, %d to the watch", lost, len(every), len(bare))
	}
	b.row(r, fmt.Sprintf("%d streams open, %d get it: one of them", all, streams), one, bare)
	b.row(r, "  all of these", every, bare)
	return nil
}

func (b *freshnessBench) row(r *report, what string, ours, bare samples) {
	add := func(name string, percentile float64, aim time.Duration) {
		above := ours.at(percentile) - bare.at(percentile)
		met := above < aim
		r.row(row{
			what: what + ", " + name, measured: ms(ours.at(percentile)), baseline: ms(bare.at(percentile)),
			ratio: times(float64(ours.at(percentile)) / float64(bare.at(percentile))),
			aim:   fmt.Sprintf("%s above, < %s", ms(above), aim), met: &met,
		})
	}
	add("p50", 50, aimFreshMedian)
	add("p99", 99, aimFreshLate)
}

// watcher is the least that a program can do to see an object change.
type watcher struct {
	watch watch.Interface
	done  chan struct{}

	mu   sync.Mutex
	took samples
}

func newWatcher(ctx context.Context, kube *apiServer) (*watcher, error) {
	watch, err := kube.workspaces().Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + workspaceName(0)})
	if err != nil {
		return nil, err
	}
	w := &watcher{watch: watch, done: make(chan struct{})}
	go w.run()
	return w, nil
}

func (w *watcher) run() {
	defer close(w.done)
	first := true
	for event := range w.watch.ResultChan() {
		at := time.Now()
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok || first { // a watch begins with what is there
			first = false
			continue
		}
		text, err := json.Marshal(object.Object["status"])
		if sent, ok := sentAt(text); err == nil && ok {
			w.mu.Lock()
			w.took = append(w.took, time.Duration(at.UnixNano()-sent))
			w.mu.Unlock()
		}
	}
}

func (w *watcher) samples() samples {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(samples(nil), w.took...)
}

func (w *watcher) stop() {
	w.watch.Stop()
	<-w.done
}
