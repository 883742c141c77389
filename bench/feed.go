package main

import (
	"context"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

const feedEpoch = "bench"

// feed changes documents in a view, as the follower of the bus does.
type feed struct {
	view      *view.View
	documents []document
	revision  uint64
	next      int // of documents
	beaten    time.Time
}

// newFeed fills a view with documents of about so many bytes.
func newFeed(documents, size int) (*feed, error) {
	list, err := newDocuments(documents, size)
	if err != nil {
		return nil, err
	}
	f := &feed{view: view.New(view.Options{}), documents: list}
	var entries []api.Entry
	for _, kind := range api.Kinds() {
		entries = append(entries, f.entry(api.SourcesKey(kind), []byte(`{"synced":true}`)))
	}
	for _, d := range list {
		entries = append(entries, f.entry(d.key, d.now()))
	}
	entries = append(entries, f.heartbeat())
	f.view.Apply(feedEpoch, entries, true)
	return f, nil
}

func (f *feed) entry(k api.Key, json []byte) api.Entry {
	f.revision++
	return api.Entry{Key: k, Revision: f.revision, JSON: json, Time: time.Now()}
}

func (f *feed) heartbeat() api.Entry {
	f.beaten = time.Now()
	return f.entry(api.PublisherKey(), []byte(`{}`))
}

// change applies so many changes at once, to one document after the other.
func (f *feed) change(n int) {
	entries := make([]api.Entry, 0, n+1)
	for range n {
		d := f.documents[f.next%len(f.documents)]
		f.next++
		entries = append(entries, f.entry(d.key, d.now()))
	}
	if time.Since(f.beaten) > api.PublisherHeartbeat {
		entries = append(entries, f.heartbeat())
	}
	f.view.Apply(feedEpoch, entries, false)
}

// carryOut does what an order says. After each change it calls changed.
func (f *feed) carryOut(ctx context.Context, o order, changed func(context.Context) error) error {
	if o.Single > 0 {
		for range o.Single {
			f.change(1)
			if err := changed(ctx); err != nil {
				return err
			}
			if err := sleep(ctx, o.Every); err != nil {
				return err
			}
		}
	}
	if o.Burst > 0 {
		begun := time.Now()
		for done := 0; time.Since(begun) < o.Burst; {
			due := int(time.Since(begun).Seconds() * float64(o.Rate))
			if due > done {
				f.change(due - done)
				done = due
			}
			if err := changed(ctx); err != nil {
				return err
			}
			if err := sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
