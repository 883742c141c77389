package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/view"
)

// people is an Identity whose grants a test decides. Who sends `Authorization: Bearer jane` is jane.
type people struct {
	mu      sync.Mutex
	callers map[string]*auth.Caller
	decide  map[string]func() (auth.Grant, error)
	asked   map[string]int
}

func newPeople() *people {
	return &people{callers: map[string]*auth.Caller{}, decide: map[string]func() (auth.Grant, error){}, asked: map[string]int{}}
}

func (p *people) Authenticate(r *http.Request) (*auth.Caller, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.decide[name] == nil {
		return nil, api.Errorf(api.ErrorCodeUnauthenticated, "nobody knows %q", name)
	}
	if p.callers[name] == nil {
		caller, err := auth.NewUnchecked(nil, name).Authenticate(r)
		if err != nil {
			return nil, err
		}
		p.callers[name] = caller
	}
	return p.callers[name], nil
}

func (p *people) Grant(_ context.Context, c *auth.Caller) (auth.Grant, error) {
	p.mu.Lock()
	decide := p.decide[c.Name()]
	p.asked[c.Name()]++
	p.mu.Unlock()
	return decide()
}

func (p *people) MayGet(context.Context, *auth.Caller, string) (bool, error) { return false, nil }

func (p *people) Config(*auth.Caller) *rest.Config { return &rest.Config{} }

// let decides what somebody is granted from now on.
func (p *people) let(name string, decide func() (auth.Grant, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide[name] = decide
}

func (p *people) times(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[name]
}

// in is a grant of everything in some namespaces and nothing outside of any, for a time, as of the cells that there are.
func in(v *view.View, validity time.Duration, namespaces ...string) func() (auth.Grant, error) {
	return func() (auth.Grant, error) {
		return auth.Grant{Sight: sightIn(namespaces...), Until: time.Now().Add(validity), Cells: v.CellsVersion()}, nil
	}
}

func refuse(code api.ErrorCode) func() (auth.Grant, error) {
	return func() (auth.Grant, error) { return auth.Grant{}, api.Errorf(code, "as the test wants it") }
}

func sightIn(namespaces ...string) *api.Sight {
	classes := map[api.Class]api.SightOf{
		{Kind: api.KindPods}: {Namespaces: namespaces, Needs: "list pods"}, {Kind: api.KindNodes}: {Needs: "list nodes"},
		{Kind: api.KindPools}: {Needs: "list nodes"}, {Kind: api.KindAutoscaler}: {Needs: "get configmaps"},
		{Kind: api.KindCapacity}: {All: true}, {Kind: api.KindRuntimes}: {All: true},
	}
	for _, runtime := range []string{"kaito", "dynamo", "kuberay"} {
		classes[api.Class{Kind: api.KindDeployments, Part: runtime}] = api.SightOf{Namespaces: namespaces, Needs: "list " + runtime}
	}
	return api.NewSight(classes)
}

func known(p *people) func(*cluster, *Options) {
	return func(_ *cluster, o *Options) { o.Identity = p }
}

// seen is what the view has for a sight.
func (c *cluster) seen(t require.TestingT, namespaces ...string) map[key]json.RawMessage {
	sight := sightIn(namespaces...)
	all := c.everything(t, view.Scope{})
	for k := range all {
		if !sight.Includes(keyIn(k).Cell()) {
			delete(all, k)
		}
	}
	return all
}

func keyIn(k key) api.Key {
	namespace, _, ok := strings.Cut(k.id, "/")
	if !ok {
		namespace = ""
	}
	return api.Key{Kind: k.kind, Namespace: namespace, ID: k.id}
}

// TestRightsThatChangeEndTheStream, and the one that comes next starts over and shows what they are then: nothing of what was
// lost, and all of what was won, though it lies behind the cursor.
func TestRightsThatChangeEndTheStream(t *testing.T) {
	for name, tt := range map[string]struct{ before, after []string }{
		"lost":      {[]string{"ml", "chat"}, []string{"chat"}},
		"all lost":  {[]string{"ml", "chat"}, nil},
		"won":       {[]string{"chat"}, []string{"ml", "chat"}},
		"exchanged": {[]string{"chat"}, []string{"ml"}},
	} {
		t.Run(name, func(t *testing.T) {
			who := newPeople()
			c := serve(t, known(who), stream(quick)).fill()
			who.let("jane", in(c.view, shortly, tt.before...))
			who.let("other", in(c.view, shortly, "ml", "chat"))
			other := c.open(t, "", "Authorization", "Bearer other")
			other.until(streamclient.EventSynced)
			f := c.open(t, "", "Authorization", "Bearer jane")
			f.until(streamclient.EventSynced)
			require.Equal(t, c.seen(t, tt.before...), f.held)
			for range 3 { // granted anew, the same
				f.until(streamclient.EventBookmark)
			}
			who.let("jane", in(c.view, shortly, tt.after...))
			asked := who.times("jane")
			var bye streamclient.Event
			for i := 0; bye.Type != streamclient.EventBye; i++ {
				for _, namespace := range []string{"ml", "chat"} {
					d := deployment(namespace, "kaito", "phi")
					d.Gpus = 1000 + i
					c.put(d)
				}
				before := who.times("jane") == asked // the last grant is in effect
				if bye = f.next(); bye.Type == streamclient.EventChanges && !before {
					for _, change := range f.changes(bye) {
						require.Contains(t, c.seen(t, tt.before...), key{change.Kind, change.Id})
					}
				}
			}
			reason, err := bye.Bye()
			require.NoError(t, err)
			require.Equal(t, api.ByeEventReasonRightsChanged, reason.Reason)
			require.NotEmpty(t, bye.Cursor)
			_, err = f.read()
			require.Error(t, err)

			again := c.open(t, "?since="+bye.Cursor, "Authorization", "Bearer jane")
			require.Equal(t, api.ResetEventReasonRightsChanged, reasonOf(t, again.until(streamclient.EventReset)))
			again.until(streamclient.EventSynced)
			require.Equal(t, c.seen(t, tt.after...), again.held)
			kinds := c.get("/api/me", "Authorization", "Bearer jane")
			var me api.Me
			kinds.into(t, &me)
			require.ElementsMatch(t, tt.after, me.Access["pods"].Namespaces)

			d := deployment("ml", "kaito", "phi")
			d.Gpus = 1 << 20
			c.put(d)
			other.untilHeld(api.KindDeployments, d.Id, gpus(1<<20))
			require.NotContains(t, other.types(), streamclient.EventBye, "others go on")
		})
	}
}

// TestWhyAStreamEnds where a grant cannot be had any more.
func TestWhyAStreamEnds(t *testing.T) {
	for code, reason := range map[api.ErrorCode]api.ByeEventReason{
		api.ErrorCodeUnauthenticated: api.ByeEventReasonTokenExpired,
		api.ErrorCodeUnavailable:     api.ByeEventReasonRightsUnknown,
	} {
		t.Run(string(reason), func(t *testing.T) {
			who := newPeople()
			c := serve(t, known(who), stream(quick)).fill()
			who.let("jane", in(c.view, 5*shortly, "ml"))
			f := c.open(t, "", "Authorization", "Bearer jane")
			f.until(streamclient.EventSynced)
			who.let("jane", refuse(code))
			e := f.until(streamclient.EventBye)
			bye, err := e.Bye()
			require.NoError(t, err)
			require.Equal(t, reason, bye.Reason)
			require.NotEmpty(t, e.Cursor, "it is no reason to start over")
			require.Equal(t, code, c.get("/api/deployments", "Authorization", "Bearer jane").failure(t).Code)
			require.Equal(t, code, c.get(streamPath, "Authorization", "Bearer jane").failure(t).Code)

			who.let("jane", in(c.view, time.Hour, "ml"))
			again := c.open(t, "?since="+e.Cursor, "Authorization", "Bearer jane")
			again.until(streamclient.EventSynced)
			require.NotContains(t, again.types(), streamclient.EventReset)
		})
	}
}

// TestDocumentsInANewPlaceAreAskedAboutAtOnce, not only when the grant ends.
func TestDocumentsInANewPlaceAreAskedAboutAtOnce(t *testing.T) {
	who := newPeople()
	c := serve(t, known(who), stream(func(o *StreamOptions) { o.Coalesce, o.Bookmark = 5*time.Millisecond, time.Hour })).fill()
	who.let("jane", func() (auth.Grant, error) { // may see whatever lies in `new`, which nobody asks about before it is there
		namespaces := []string{"ml"}
		cells, version := c.view.Cells()
		if slices.ContainsFunc(cells, func(cell api.Cell) bool { return cell.Namespace == "new" }) {
			namespaces = append(namespaces, "new")
		}
		return auth.Grant{Sight: sightIn(namespaces...), Until: time.Now().Add(time.Hour), Cells: version}, nil
	})
	who.let("joe", in(c.view, time.Hour, "ml"))
	jane, joe := c.open(t, "", "Authorization", "Bearer jane"), c.open(t, "", "Authorization", "Bearer joe")
	jane.until(streamclient.EventSynced)
	joe.until(streamclient.EventSynced)
	asked := who.times("joe")
	for range 5 {
		c.put(deployment("ml", "kaito", "llama")) // an old place
	}
	began := time.Now()
	c.put(deployment("new", "kaito", "first"))
	e := jane.until(streamclient.EventBye)
	require.Less(t, time.Since(began), patience/2)
	bye, err := e.Bye()
	require.NoError(t, err)
	require.Equal(t, api.ByeEventReasonRightsChanged, bye.Reason)
	again := c.open(t, "?since="+e.Cursor, "Authorization", "Bearer jane")
	again.until(streamclient.EventSynced)
	require.Contains(t, again.held, key{api.KindDeployments, "new/kaito/first"})

	d := deployment("ml", "kaito", "llama")
	d.Gpus = 77
	c.put(d)
	joe.untilHeld(api.KindDeployments, d.Id, gpus(77))
	require.Equal(t, asked+1, who.times("joe"), "asked for the new place, and not for changes in the old ones")
	require.NotContains(t, joe.types(), streamclient.EventBye)
	require.Equal(t, c.seen(t, "ml"), joe.held)
}

// TestSightsDoNotShare what was made for another one: lists, plain and compressed, and frames. Equal ones do.
func TestSightsDoNotShare(t *testing.T) {
	who := newPeople()
	c := serve(t, known(who), stream(quick)).fill()
	for i := range 20 { // enough to be compressed
		c.put(deployment("ml", "kaito", fmt.Sprint("m", i)), deployment("chat", "kaito", fmt.Sprint("c", i)))
	}
	sights := map[string][]string{"jane": {"ml"}, "june": {"ml"}, "joe": {"chat"}, "all": {"ml", "chat"}, "none": nil}
	for name, namespaces := range sights {
		who.let(name, in(c.view, time.Hour, namespaces...))
	}
	for range 3 {
		etags := map[string]string{}
		for name, namespaces := range sights {
			as := []string{"Authorization", "Bearer " + name}
			for _, path := range []string{"/api/deployments", "/api/deployments?limit=5", "/api/cluster/nodes", "/api/installation/gpu-capacity/detailed"} {
				for _, encoding := range []string{"identity", "gzip"} {
					a := c.get(path, append(as, "Accept-Encoding", encoding)...)
					require.Equal(t, http.StatusOK, a.status)
					if encoding == "identity" {
						for _, other := range []string{"ml", "chat"} {
							if !slices.Contains(namespaces, other) {
								require.NotContains(t, a.body, `"`+other+`/`, "%s %s", name, path)
							}
						}
					}
					for theirs, etag := range etags {
						if theirs, kept, _ := strings.Cut(theirs, " "); kept == path {
							same := slices.Equal(sights[theirs], namespaces)
							require.Equal(t, same, etag == a.header.Get("ETag"), "%s, %s: %s", name, theirs, path)
							again := c.get(path, append(as, "If-None-Match", etag)...)
							require.Equal(t, same, again.status == http.StatusNotModified)
						}
					}
					etags[name+" "+path] = a.header.Get("ETag")
				}
			}
			require.Len(t, c.deploymentsOf(name), len(c.seenKind(t, api.KindDeployments, namespaces...)))
		}
		c.put(deployment("ml", "kaito", "m0"), deployment("chat", "kaito", "c0"))
	}

	followers := map[string]*follower{}
	for name := range sights {
		followers[name] = c.open(t, "", "Authorization", "Bearer "+name)
		followers[name].until(streamclient.EventSynced)
	}
	shared := c.metric("kubefoundry_stream_frames_shared_total")
	for i := range 30 {
		ml, chat, total := deployment("ml", "kaito", "m0"), deployment("chat", "kaito", "c0"), capacity(1000+i, 0)
		ml.Gpus, chat.Gpus = 1000+i, 1000+i
		c.put(ml, chat, total)
		for name, namespaces := range sights {
			f := followers[name]
			f.untilHeld(api.KindCapacity, keyOf(total).ID, func(doc json.RawMessage) bool { return strings.Contains(string(doc), fmt.Sprint(1000+i)) })
			require.Equal(t, c.seen(t, namespaces...), f.held, name)
		}
	}
	require.Positive(t, c.metric("kubefoundry_stream_frames_shared_total")-shared, "jane and june see the same")
}

func (c *cluster) deploymentsOf(name string) []api.Deployment {
	var list api.DeploymentList
	c.get("/api/deployments", "Authorization", "Bearer "+name).into(c.t, &list)
	return list.Deployments
}

func (c *cluster) seenKind(t require.TestingT, kind api.Kind, namespaces ...string) (ids []string) {
	for k := range c.seen(t, namespaces...) {
		if k.kind == kind {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// TestACursorBelongsToASight, of a list and of a stream.
func TestACursorBelongsToASight(t *testing.T) {
	who := newPeople()
	c := serve(t, known(who), stream(quick)).fill()
	who.let("jane", in(c.view, time.Hour, "ml"))
	who.let("june", in(c.view, time.Hour, "ml"))
	who.let("joe", in(c.view, time.Hour, "chat"))
	var list api.DeploymentList
	c.get("/api/deployments", "Authorization", "Bearer jane").into(t, &list)
	for _, header := range []bool{false, true} {
		open := func(name string) *follower {
			if header {
				return c.open(t, "", "Authorization", "Bearer "+name, "Last-Event-ID", list.Cursor)
			}
			return c.open(t, "?since="+list.Cursor, "Authorization", "Bearer "+name)
		}
		for _, name := range []string{"jane", "june"} {
			f := open(name)
			f.until(streamclient.EventSynced)
			require.Equal(t, []string{"synced"}, f.types())
		}
		f := open("joe")
		require.Equal(t, api.ResetEventReasonRightsChanged, reasonOf(t, f.next()))
		f.until(streamclient.EventSynced)
		require.Equal(t, c.seen(t, "chat"), f.held)
	}
}

// taken is a response whose connection can be taken.
type taken struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (r taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r.conn, bufio.NewReadWriter(bufio.NewReader(r.conn), bufio.NewWriter(r.conn)), nil
}

// arrival is an event, and when the server had written it.
type arrival struct {
	streamclient.Event
	at time.Duration // since the stream began
}

// slowly runs a test with jane's stream in a bubble of time, over a pipe without a buffer: what the client reads, the server
// writes at that very time. Her grants last for 30 s. The client reads one event further than the test takes.
func slowly(t *testing.T, test func(t *testing.T, c *cluster, who *people, events <-chan arrival)) {
	synctest.Test(t, func(t *testing.T) {
		who := newPeople()
		c := &cluster{t: t, view: view.New(view.Options{}), epoch: "e1", registry: prometheus.NewRegistry()}
		var err error
		c.server, err = New(Options{View: c.view, Identity: who, Logger: zap.NewNop(), Registry: c.registry, Stream: StreamOptions{Bookmark: time.Hour}})
		require.NoError(t, err)
		defer c.server.Close()
		c.fill()
		who.let("jane", in(c.view, 30*time.Second, "ml"))
		ours, theirs := net.Pipe()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, streamPath+"?kinds=deployments", http.NoBody)
		request.Header.Set("Authorization", "Bearer jane")
		began := time.Now()
		go c.server.Handler().ServeHTTP(taken{httptest.NewRecorder(), theirs}, request)
		response, err := http.ReadResponse(bufio.NewReader(ours), request)
		require.NoError(t, err)
		defer func() {
			_ = ours.Close() // first: the body's end is waited for
			_ = response.Body.Close()
		}()
		events := make(chan arrival)
		go func() {
			defer close(events)
			reader := streamclient.NewReader(response.Body, "")
			for {
				e, err := reader.Next()
				if err != nil {
					return
				}
				e.Data = bytes.Clone(e.Data)
				select {
				case events <- arrival{e, time.Since(began)}:
				case <-t.Context().Done():
					return
				}
			}
		}()
		for e := range events {
			if e.Type == streamclient.EventSynced {
				break
			}
		}
		test(t, c, who, events)
	})
}

// pass lets time pass, in which the publisher is heard of: its silence would be told. What comes is taken, unless the client
// is asleep.
func (c *cluster) pass(d time.Duration, events <-chan arrival) {
	for range d / time.Second {
		c.beat()
		for second := time.After(time.Second); second != nil; {
			select {
			case e, ok := <-events:
				require.True(c.t, ok, "the stream goes on")
				require.NotEqual(c.t, streamclient.EventBye, e.Type)
			case <-second:
				second = nil
			}
		}
	}
}

// secret changes a document that jane may see.
func (c *cluster) secret(n int) {
	d := deployment("ml", "kaito", "llama")
	d.Gpus = n
	c.put(d)
	time.Sleep(100 * time.Millisecond) // and a beat
}

// TestNothingIsWrittenAfterTheRight: a client that is slow to read has events under way and waiting when its right ends.
// Whatever was rendered before, nothing of it leaves the server any more.
func TestNothingIsWrittenAfterTheRight(t *testing.T) {
	for events := range 6 {
		for name, decide := range map[string]func(v *view.View) func() (auth.Grant, error){
			"lost":    func(v *view.View) func() (auth.Grant, error) { return in(v, 30*time.Second) },
			"expired": func(*view.View) func() (auth.Grant, error) { return refuse(api.ErrorCodeUnauthenticated) },
			"unknown": func(*view.View) func() (auth.Grant, error) { return refuse(api.ErrorCodeUnavailable) },
		} {
			t.Run(fmt.Sprint(name, " with ", events), func(t *testing.T) {
				slowly(t, func(t *testing.T, c *cluster, who *people, arrivals <-chan arrival) {
					c.pass(25*time.Second, arrivals)
					for i := range events {
						c.secret(100 + i)
					}
					who.let("jane", decide(c.view))
					c.pass(8*time.Second, nil) // beyond the 30
					c.secret(200)
					last := ""
					for e := range arrivals {
						if strings.Contains(string(e.Data), "llama") {
							require.Less(t, e.at, 30*time.Second+underWay)
						}
						last = e.Type
					}
					if events <= 1 {
						require.Equal(t, streamclient.EventBye, last, "who reads in time is told why")
					}
				})
			})
		}
	}
}

// TestWhoIsSlowAndMayGoOnIsNotCut: a grant ends while events are under way, and the next one is the same. A snapshot that takes
// longer than a grant lasts would never end otherwise.
func TestWhoIsSlowAndMayGoOnIsNotCut(t *testing.T) {
	for events := range 6 {
		t.Run(fmt.Sprint(events), func(t *testing.T) {
			slowly(t, func(t *testing.T, c *cluster, who *people, arrivals <-chan arrival) {
				for round := range 4 { // four grants end
					c.pass(25*time.Second, arrivals)
					for i := range events {
						c.secret(100*round + i)
					}
					c.pass(8*time.Second, nil)
					c.secret(100*round + 99)
					for seen := false; !seen; {
						e, ok := <-arrivals
						require.True(t, ok, "round %d", round)
						require.NotEqual(t, streamclient.EventBye, e.Type)
						seen = strings.Contains(string(e.Data), fmt.Sprintf(`"gpus":%d,`, 100*round+99))
					}
				}
				require.Less(t, who.times("jane"), 40)
			})
		})
	}
}
