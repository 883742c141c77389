package automation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/view"
)

// rig is a bus that listens, a view of it, and an Automation between them.
type rig struct {
	*Automation
	bus       *bus.Bus
	view      *view.View
	publisher *bus.Publisher
	logs      *observer.ObservedLogs
	registry  *prometheus.Registry
	url       string
}

// newRig runs all of it until the test ends. Options without Tokens and Rights get those of ministry.
func newRig(t *testing.T, config bus.Config, o Options) *rig {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	if config.Listen.Address == "" {
		config.Listen.Address = "127.0.0.1:0"
	}
	g := &rig{view: view.New(view.Options{}), logs: logs, registry: prometheus.NewRegistry()}
	t.Cleanup(func() {
		if t.Failed() {
			for _, entry := range logs.All() {
				t.Log(entry.Time.Format(time.StampMilli), entry.Message, entry.ContextMap())
			}
		}
	})
	var err error
	g.bus, err = bus.Open(context.Background(), config, zap.NewNop(), nil)
	require.NoError(t, err)
	t.Cleanup(g.bus.Close)
	g.url = "nats://" + g.bus.ListenAddress().String()
	g.publisher = g.bus.Publisher()
	o.Bus, o.View, o.Logger, o.Registerer = g.bus, g.view, zap.New(core), g.registry
	g.Automation, err = New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	for _, run := range []func(context.Context) error{
		g.publisher.Run, g.Automation.Run, func(ctx context.Context) error { return g.bus.Follow(ctx, g.view) },
	} {
		group.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	require.Eventually(t, func() bool { _, ok := g.view.Cursor(); return ok }, 10*time.Second, 5*time.Millisecond)
	return g
}

// runAutomation is a rig whose view the test fills itself.
func runAutomation(t *testing.T, b *bus.Bus, v *view.View, o Options) *rig {
	t.Helper()
	g := &rig{bus: b, view: v, url: "nats://" + b.ListenAddress().String(), registry: prometheus.NewRegistry()}
	o.Bus, o.View, o.Logger, o.Registerer = b, v, nop(), g.registry
	var err error
	g.Automation, err = New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Automation.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.ctx != nil }, 5*time.Second, time.Millisecond)
	return g
}

func nop() *zap.Logger { return zap.NewNop() }

// ministry is a cluster of a few lines: a token is the name of its user, and rights are said by the test.
type ministry struct {
	*auth.Tokens
	validity time.Duration

	mu      sync.Mutex
	sights  map[string]*api.Sight
	outage  error
	expired map[string]bool
	view    *view.View
}

func newMinistry(t testing.TB) *ministry {
	t.Helper()
	m := &ministry{sights: map[string]*api.Sight{}, validity: 100 * time.Millisecond, expired: map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m.mu.Lock()
		_, known := m.sights[review.Spec.Token]
		m.mu.Unlock()
		review.Status = authenticationv1.TokenReviewStatus{
			Authenticated: known, User: authenticationv1.UserInfo{Username: review.Spec.Token}, Audiences: review.Spec.Audiences,
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	require.NoError(t, err)
	m.Tokens, err = auth.NewTokens(client, Audience)
	require.NoError(t, err)
	return m
}

// Caller forgets sooner than the real one.
func (m *ministry) Caller(ctx context.Context, token string) (*auth.Caller, time.Time, error) {
	c, _, err := m.Tokens.Caller(ctx, token)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.expired[token] {
		return nil, time.Time{}, api.Errorf(api.ErrorCodeUnauthenticated, "expired")
	}
	return c, time.Now().Add(m.validity), err
}

func (m *ministry) Grant(_ context.Context, c *auth.Caller) (auth.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.outage != nil {
		return auth.Grant{}, m.outage
	}
	g := auth.Grant{Sight: m.sights[c.Name()], Until: time.Now().Add(m.validity)}
	if m.view != nil {
		g.Cells = m.view.CellsVersion()
	}
	return g, nil
}

func (m *ministry) allow(user string, sight *api.Sight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sights[user] = sight
}

func (m *ministry) do(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// sees is the sight of the deployments and pods of some namespaces, and the nodes if so.
func sees(nodes bool, namespaces ...string) *api.Sight {
	return api.NewSight(map[api.Class]api.SightOf{
		{Kind: api.KindDeployments, Part: "kaito"}: {Namespaces: namespaces},
		{Kind: api.KindPods}:                       {Namespaces: namespaces},
		{Kind: api.KindNodes}:                      {All: nodes},
	})
}

func (g *rig) put(key api.Key, version int) {
	body, _ := json.Marshal(map[string]any{"id": key.ID, "namespace": key.Namespace, "version": version})
	g.publisher.Put(api.Document{Key: key, JSON: body}, time.Now())
}

func (g *rig) emit(key api.Key, change api.EventChange, message string) {
	g.publisher.Emit(api.Event{Key: key, Change: change, Time: time.Now(), Message: message, Document: fmt.Appendf(nil, "%q", message)})
}

func (g *rig) connect(token string, options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(g.url, append([]nats.Option{nats.Token(token), nats.Timeout(15 * time.Second), nats.MaxReconnects(0)}, options...)...)
}

func (g *rig) dial(t testing.TB, token string, options ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := g.connect(token, options...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return nc, js
}

// watcher holds what a client learns by a watch of the bucket, and by a subscription to the events.
type watcher struct {
	mu     sync.Mutex
	held   map[string]string
	ever   map[string]struct{} // keys that were seen at any time
	events []string            // subjects
}

func watch(t testing.TB, nc *nats.Conn, js jetstream.JetStream) *watcher {
	t.Helper()
	w := watchOf(t.Context(), nc, js)
	require.NotNil(t, w)
	return w
}

// watchOf ends with its connection and ctx. nil: it cannot be.
func watchOf(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) *watcher {
	kv, err := js.KeyValue(ctx, bucketName)
	if err != nil {
		return nil
	}
	w := &watcher{held: map[string]string{}, ever: map[string]struct{}{}}
	updates, err := kv.WatchAll(ctx)
	if err != nil {
		return nil
	}
	go func() {
		for entry := range updates.Updates() {
			if entry == nil {
				continue
			}
			w.mu.Lock()
			w.ever[entry.Key()] = struct{}{}
			if entry.Operation() == jetstream.KeyValuePut {
				w.held[entry.Key()] = string(entry.Value())
			} else {
				delete(w.held, entry.Key())
			}
			w.mu.Unlock()
		}
	}()
	_, err = nc.Subscribe("kubefoundry.events.>", func(msg *nats.Msg) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, msg.Subject)
	})
	if err != nil || nc.Flush() != nil {
		return nil
	}
	return w
}

func (w *watcher) holds() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.held)
}

func (w *watcher) heard() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// shown is the law: what a sight shows of the view, by key.
func shown(t interface{ Fatalf(string, ...any) }, v *view.View, sight *api.Sight) map[string]string {
	want := map[string]string{}
	reader, err := v.Snapshot(sight)
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	batch, err := v.Changes(reader, view.Scope{Sight: sight}, 1<<20, 1<<30)
	if err != nil {
		t.Fatalf("changes: %v", err)
	}
	for _, entry := range batch.Entries {
		want[entry.Key.String()] = string(entry.JSON)
	}
	total := 0
	for _, kind := range api.Kinds() {
		page, err := v.List(view.Query{Kind: kind, Sight: sight})
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		total += page.Total
	}
	if total != len(want) {
		t.Fatalf("the list has %d documents, the snapshot %d", total, len(want))
	}
	return want
}

func deleteNow() metav1.DeleteOptions {
	none := int64(0)
	return metav1.DeleteOptions{GracePeriodSeconds: &none}
}
