package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// bodies keeps rendered lists for as long as they hold, so that a page which many look at is put together once.
type bodies struct {
	mu    sync.Mutex
	kept  map[bodyKey]*body
	bytes int
}

type bodyKey struct {
	shape string // of the route, which may put the same documents differently
	sight string // the name of what the caller may see
	query view.Query
}

// body is one rendered list. It is complete before it is shared.
type body struct {
	version view.Version
	cursor  api.Cursor
	plain   []byte
	once    sync.Once
	gzipped []byte
}

// cost is about how many bytes a kept body takes: many small ones are mostly key, and each may be compressed too.
func (b *body) cost() int { return 1<<10 + len(b.plain) + len(b.plain)/4 }

// What is kept at most. A single list larger than this is rendered for each request.
const (
	maxKeptBytes = 32 << 20
	maxKeptBody  = 16 << 20
)

func newBodies() *bodies { return &bodies{kept: map[bodyKey]*body{}} }

// bodyKeyOf takes the sight out of the query: those who may see the same share a body, whoever they are.
func bodyKeyOf(shape string, q view.Query) bodyKey {
	key := bodyKey{shape, q.Sight.Name(), q}
	key.query.Sight = nil
	return key
}

func (b *bodies) get(key bodyKey, version view.Version) *body {
	b.mu.Lock()
	defer b.mu.Unlock()
	if kept := b.kept[key]; kept != nil && kept.version == version {
		return kept
	}
	return nil
}

func (b *bodies) put(key bodyKey, fresh *body) {
	if len(fresh.plain) > maxKeptBody {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.kept[key]; old != nil {
		b.bytes -= old.cost()
	}
	if b.bytes+fresh.cost() > maxKeptBytes {
		clear(b.kept)
		b.bytes = 0
	}
	b.kept[key] = fresh
	b.bytes += fresh.cost()
}

// gzip compresses a body when it is first asked for.
func (b *body) gzip() []byte {
	b.once.Do(func() {
		var buffer bytes.Buffer
		w, _ := gzip.NewWriterLevel(&buffer, gzip.BestSpeed) // a valid level
		_, _ = w.Write(b.plain)                              // a buffer takes everything
		_ = w.Close()
		b.gzipped = buffer.Bytes()
	})
	return b.gzipped
}

// list answers with the documents of a query. render puts the page into the body's shape; what it reads beside the page has
// to be of the kinds in also.
func (s *Server) list(w http.ResponseWriter, r *http.Request, shape string, q view.Query, render func([]byte, view.Page) ([]byte, error), also ...api.Kind) {
	q.Sight = sight(r)
	b, err := s.rendered(shape, q, render, also)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.write(w, r, b)
}

func (s *Server) rendered(shape string, q view.Query, render func([]byte, view.Page) ([]byte, error), also []api.Kind) (*body, error) {
	version, err := s.view.Version(append(also, q.Kind)...)
	if err != nil {
		return nil, err
	}
	key := bodyKeyOf(shape, q)
	if kept := s.bodies.get(key, version); kept != nil && s.view.Resumable(kept.cursor, q.Sight) {
		return kept, nil
	}
	page, err := s.view.List(q)
	if err != nil {
		return nil, err
	}
	if unknown(page) {
		return nil, notSynced(q.Kind, page.State)
	}
	b := &body{version: version, cursor: page.Cursor}
	if b.plain, err = render(nil, page); err != nil {
		return nil, err
	}
	s.bodies.put(key, b)
	return b, nil
}

// unknown tells an empty page of which nothing is known from one that is empty: for the caller, if not for others.
func unknown(page view.Page) bool {
	hidden := page.State.Access != nil && page.State.Access.Level == api.AccessLevelNone
	return page.Total == 0 && !page.State.Synced && !hidden
}

const gzipWorth = 1 << 10 // bytes; less fits into one packet anyway

func (s *Server) write(w http.ResponseWriter, r *http.Request, b *body) {
	etag := fmt.Sprintf(`W/"%s-%d-%t-%s"`, b.version.Epoch, b.version.Revision, b.version.Stale, b.cursor.Sight)
	h := w.Header()
	h.Set("ETag", etag)
	h.Add("Vary", "Accept-Encoding")
	if match(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	content := b.plain
	if len(content) >= gzipWorth && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		content = b.gzip()
	}
	writeBytes(w, http.StatusOK, content)
}

func match(ifNoneMatch, etag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		if c := strings.TrimSpace(candidate); c == "*" || c == etag || "W/"+c == etag {
			return true
		}
	}
	return false
}

func acceptsGzip(r *http.Request) bool {
	gzip, identity := 0.0, 0.0
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		quality := 1.0
		if name, value, ok := strings.Cut(parameters, "="); ok && strings.EqualFold(strings.TrimSpace(name), "q") {
			quality, _ = strconv.ParseFloat(strings.TrimSpace(value), 64) // what cannot be read is not wanted
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			gzip = quality
		case "identity":
			identity = quality
		}
	}
	return gzip > 0 && gzip >= identity
}

// appendDocuments appends `"name":[documents]`.
func appendDocuments(b []byte, name string, documents [][]byte) []byte {
	size := len(name) + 256
	for _, d := range documents {
		size += len(d) + 1
	}
	b = append(make([]byte, 0, len(b)+size), b...)
	b = append(append(append(b, '"'), name...), `":[`...)
	for i, d := range documents {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, d...)
	}
	return append(b, ']')
}

// appendState appends `,"cursor":…,"state":…}`, the end of every list.
func appendState(b []byte, page view.Page) []byte {
	b = append(page.Cursor.Append(append(b, `,"cursor":"`...)), `","state":`...)
	state, _ := json.Marshal(page.State) // plain fields
	return append(append(b, state...), '}')
}

// notSynced says why there is nothing to show.
func notSynced(kind api.Kind, state api.KindState) *api.Error {
	why := state.Error
	if why == "" {
		why = "they are still being read from the cluster; try again in a few seconds"
	}
	e := api.Errorf(api.ErrorCodeNotSynced, "nothing is known of %s: %s", kind, why)
	for _, source := range state.Sources {
		if source.Error != "" {
			e.Details = append(e.Details, api.ErrorDetail{Field: source.Resource, Message: source.Error})
		}
	}
	return e
}
