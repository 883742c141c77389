package tenancy

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

// listener is somebody's open stream.
type listener struct {
	asking
	state *streamclient.State
	bytes *synced // everything that came

	mu     sync.Mutex
	proven api.Cursor // of the last event that had one
	ids    map[string]bool
	err    error
}

// tee keeps what a client reads.
type tee struct {
	http.RoundTripper
	into io.Writer
}

func (r tee) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(response.Body, r.into), response.Body}
	}
	return response, err
}

// listen opens a stream that lasts until ctx ends.
func (a asking) listen(ctx context.Context, t *testing.T, running *sync.WaitGroup) *listener {
	t.Helper()
	l := &listener{asking: a, state: streamclient.NewState(), bytes: &synced{}, ids: map[string]bool{}}
	client, url, credentials := a.request(t, "/api/stream")
	header := http.Header{}
	for i := 0; i < len(credentials); i += 2 {
		header.Set(credentials[i], credentials[i+1])
	}
	stream := streamclient.Client{URL: url, HTTP: &http.Client{Transport: tee{client.Transport, l.bytes}}, Header: header, State: l.state}
	running.Go(func() {
		err := stream.Run(ctx, "", l.take)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err = err
	})
	return l
}

func (l *listener) take(e streamclient.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Type == streamclient.EventChanges {
		changes, err := e.Changes()
		if err != nil {
			return err
		}
		for _, change := range changes {
			l.ids[string(change.Kind)+" "+change.Id] = true
		}
	}
	if e.Cursor == "" {
		return nil
	}
	cursor, err := api.ParseCursor(e.Cursor)
	l.proven = cursor
	return err
}

// past tells whether everything up to a cursor has come, as far as it is for the listener.
func (l *listener) past(c api.Cursor) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proven.Epoch == c.Epoch && l.proven.Revision >= c.Revision
}

// met tells whether a document was ever put or deleted.
func (l *listener) met(kind api.Kind, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[string(kind)+" "+id]
}

// held is the ids of a kind.
func (l *listener) held(kind api.Kind) []string {
	held := []string{}
	for _, d := range l.state.Documents() {
		if d.Kind == kind {
			held = append(held, d.ID)
		}
	}
	return held
}

// listenAsEverybody: a stream begins with what a list shows, and brings nothing of what is hidden.
func listenAsEverybody(t *testing.T, everybody map[string]*caller) {
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var listeners []*listener
	var admin *listener
	for _, r := range roles {
		for _, by := range []way{direct, through} {
			l := everybody[r.name].by(by).listen(ctx, t, &running)
			listeners = append(listeners, l)
			if r.name == "admin" && by == direct {
				admin = l
			}
		}
	}
	defer func() {
		stop()
		running.Wait()
		for _, l := range listeners {
			l.hear("STREAM "+l.way.name, l.bytes.String())
		}
	}()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		for _, l := range listeners {
			l.same(t, c, admin)
		}
	}, patience, 200*time.Millisecond)

	// What happens where somebody does not see it, and then where they may. The last one is a fence.
	w := admin.world
	rustle := []deployment{{w.other, "kaito", "owl-rustles", "wildlife/owl"}, {w.own, "kaito", "wren-rustles", "wildlife/wren"}}
	for _, d := range rustle {
		w.create(t, d)
	}
	eventually := func(what string, done func(l *listener, d deployment) bool) {
		t.Helper()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			for _, l := range listeners {
				for _, d := range rustle {
					require.True(c, !l.sees.sees(d) || done(l, d), "%s %s: %s of %s", l.role, l.way.name, what, d.id())
				}
			}
		}, patience, 20*time.Millisecond)
	}
	shown := func(l *listener, d deployment) bool {
		_, ok := l.state.Get(api.KindDeployments, d.id())
		return ok
	}
	eventually("creation", shown)
	for _, d := range rustle {
		require.NoError(t, w.admin.dynamic.Resource(resources()[d.runtime]).Namespace(d.namespace).Delete(t.Context(), d.name, metav1.DeleteOptions{}))
	}
	eventually("deletion", func(l *listener, d deployment) bool { return !shown(l, d) })
	admin.mu.Lock()
	fence := admin.proven
	admin.mu.Unlock()
	require.EventuallyWithT(t, func(c *assert.CollectT) { // by a bookmark where there was nothing for them
		for _, l := range listeners {
			require.True(c, l.past(fence), "%s %s", l.role, l.way.name)
		}
	}, patience, 50*time.Millisecond)
	for _, l := range listeners {
		for _, d := range rustle {
			may := l.sees.sees(d)
			require.Equal(t, may, l.met(api.KindDeployments, d.id()), "%s %s: %s", l.role, l.way.name, d.id())
			if !may && !l.sees.pods[d.namespace] { // the names of pods begin with that of theirs
				require.NotContains(t, l.bytes.String(), d.name, "%s %s", l.role, l.way.name)
			}
		}
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		for _, l := range listeners {
			l.same(t, c, admin)
		}
	}, patience, 200*time.Millisecond)
}

// sees tells whether a deployment may be seen, also one that was not there when the API server was asked.
func (s *sees) sees(d deployment) bool {
	for _, seen := range s.deployments {
		if seen.namespace == d.namespace && seen.runtime == d.runtime {
			return true
		}
	}
	return false
}

// same holds what a listener has against what lists and kubectl show the same caller.
func (l *listener) same(t *testing.T, c *assert.CollectT, admin *listener) {
	l.mu.Lock()
	require.NoError(c, l.err, "%s %s", l.role, l.way.name)
	l.mu.Unlock()
	require.True(c, l.state.Complete(), "%s %s", l.role, l.way.name)
	kinds := l.state.Kinds()
	require.Len(c, kinds, len(api.Kinds()))

	list := read[struct {
		Deployments []json.RawMessage `json:"deployments"`
		State       api.KindState     `json:"state"`
	}](c, l.get(t, "/api/deployments?sort=name"))
	require.ElementsMatch(c, slices.Collect(maps.Keys(l.sees.deployments)), l.held(api.KindDeployments), l.role)
	var held, listed []string
	for _, d := range l.state.Documents() {
		if d.Kind == api.KindDeployments {
			held = append(held, string(d.JSON))
		}
	}
	for _, d := range list.Deployments {
		listed = append(listed, string(d))
	}
	require.ElementsMatch(c, listed, held, "%s: the stream's documents are the list's", l.role)
	require.Equal(c, list.State.Access, kinds[string(api.KindDeployments)].Access)

	pods := []string{}
	for _, id := range admin.held(api.KindPods) {
		if namespace, _, _ := strings.Cut(id, "/"); l.sees.pods[namespace] {
			pods = append(pods, id)
		}
	}
	require.ElementsMatch(c, pods, l.held(api.KindPods), l.role)
	require.ElementsMatch(c, slices.Collect(maps.Keys(l.sees.nodes)), l.held(api.KindNodes), l.role)
	require.Equal(c, l.sees.nodes != nil, len(l.held(api.KindPools)) == 1, l.role)
	require.Equal(c, admin.held(api.KindCapacity), l.held(api.KindCapacity))
	require.Equal(c, admin.held(api.KindRuntimes), l.held(api.KindRuntimes))
	me := read[api.Me](c, l.get(t, "/api/me"))
	for _, kind := range api.Kinds() {
		access, limited := me.Access[string(kind)]
		require.Equal(c, limited, kinds[string(kind)].Access != nil, "%s: %s", l.role, kind)
		if limited {
			require.Equal(c, access, *kinds[string(kind)].Access, "%s: %s", l.role, kind)
		}
	}
}
