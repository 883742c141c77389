package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// barePart is the least that a stream can cost with net/http: it renders each batch once, the same bytes as KubeFoundry's,
// and every stream writes and flushes them. It filters nothing, resumes nothing, and knows no deadline.
type barePart struct {
	view   *view.View
	reader view.Reader
	sent   time.Time
	latest atomic.Pointer[edition]
}

// edition is what all streams write next. A stream that was busy meanwhile skips to the newest.
type edition struct {
	frames [][]byte
	// next is closed when there is a newer one.
	next chan struct{}
}

// The same bounds as those of httpapi.
const (
	bareInterval     = 50 * time.Millisecond
	bareFrameBytes   = 40 << 10
	bareFrameEntries = 512
)

func newBarePart(f *feed) (*barePart, error) {
	cursor, _ := f.view.Cursor()
	reader, err := f.view.Resume(cursor, api.Everything())
	if err != nil {
		return nil, err
	}
	p := &barePart{view: f.view, reader: reader}
	p.latest.Store(&edition{next: make(chan struct{})})
	return p, nil
}

func (p *barePart) changed(context.Context) error {
	if time.Since(p.sent) < bareInterval {
		return nil
	}
	p.sent = time.Now()
	var frames [][]byte
	for more := true; more; {
		batch, err := p.view.Changes(p.reader, view.Scope{Sight: api.Everything()}, bareFrameEntries, bareFrameBytes)
		if err != nil {
			return err
		}
		p.reader, more = batch.Next, batch.More
		if len(batch.Entries) > 0 {
			frames = append(frames, bareFrame(batch))
		}
	}
	if len(frames) > 0 {
		close(p.latest.Swap(&edition{frames: frames, next: make(chan struct{})}).next)
	}
	return nil
}

func bareFrame(batch view.Batch) []byte {
	b := append(batch.Next.Cursor.Append([]byte("id: ")), "\ndata: {\"changes\":["...)
	for i, e := range batch.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"op":"`...), api.ChangeOpPut...)
		b = append(append(b, `","kind":"`...), e.Key.Kind...)
		b = append(append(b, `","id":"`...), e.Key.ID...)
		b = append(append(append(b, `","doc":`...), e.JSON...), '}')
	}
	return append(b, "]}\nevent: changes\n\n"...)
}

func (p *barePart) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	flusher := http.NewResponseController(w)
	latest := p.latest.Load()
	if _, err := w.Write([]byte("id: 0\ndata: {}\nevent: synced\n\n")); err != nil || flusher.Flush() != nil {
		return
	}
	for {
		select {
		case <-latest.next:
		case <-r.Context().Done():
			return
		}
		latest = p.latest.Load()
		for _, frame := range latest.frames {
			if _, err := w.Write(frame); err != nil || flusher.Flush() != nil {
				return
			}
		}
	}
}

func (p *barePart) close() {}
