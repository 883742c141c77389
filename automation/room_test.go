package automation

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus"
)

func start(t *testing.T, o Options) (*rig, *ministry) {
	t.Helper()
	m := newMinistry(t)
	o.Tokens, o.Rights = m, m
	g := newRig(t, bus.Config{}, o)
	m.do(func() { m.view = g.view })
	return g, m
}

func (g *rig) eventually(t *testing.T, w *watcher, sight *api.Sight) {
	t.Helper()
	if !assert.Eventually(t, func() bool { return assert.ObjectsAreEqual(shown(t, g.view, sight), w.holds()) }, 10*time.Second, 10*time.Millisecond) {
		assert.Equal(t, shown(t, g.view, sight), w.holds())
		t.FailNow()
	}
}

func deployment(namespace string, i int) api.Key {
	return api.DeploymentKey(namespace, "kaito", fmt.Sprintf("llama-%d", i))
}

func TestACallerSeesWhatTheyMaySee(t *testing.T) {
	g, m := start(t, Options{})
	for i := range 20 {
		g.put(deployment("ml", i), 1)
		g.put(deployment("secret", i), 1)
		g.put(api.NodeKey(fmt.Sprintf("node-%d.example", i)), 1)
		g.emit(deployment("ml", i), api.EventCreated, "new")
		g.emit(deployment("secret", i), api.EventCreated, "new")
	}
	m.allow("ann", sees(false, "ml"))
	m.allow("bob", sees(true, "ml", "secret"))
	require.Eventually(t, func() bool { _, n, _ := g.view.Position(); return n >= 60 }, 5*time.Second, time.Millisecond)

	ncAnn, jsAnn := g.dial(t, "ann")
	ncBob, jsBob := g.dial(t, "bob")
	ann, bob := watch(t, ncAnn, jsAnn), watch(t, ncBob, jsBob)
	g.eventually(t, ann, sees(false, "ml"))
	g.eventually(t, bob, sees(true, "ml", "secret"))
	require.Len(t, ann.holds(), 20)
	require.Len(t, bob.holds(), 60)

	// What happened before is kept for who comes later.
	require.Eventually(t, func() bool { return len(retained(t, jsAnn)) == 20 && len(retained(t, jsBob)) == 40 }, 10*time.Second, 10*time.Millisecond)

	g.put(deployment("ml", 3), 2)
	g.publisher.Delete(deployment("ml", 4), time.Now())
	g.emit(deployment("ml", 3), api.EventPhaseChanged, "Pending -> Failed")
	g.emit(deployment("secret", 3), api.EventPhaseChanged, "Pending -> Failed")
	want := "kubefoundry.events.deployments.ml.ml/kaito/llama-3.phase-changed"
	require.Eventually(t, func() bool { return slices.Contains(ann.heard(), want) }, 5*time.Second, time.Millisecond)
	g.eventually(t, ann, sees(false, "ml"))
	assertOnly(t, ann, "ml")

	// Rights that are lost take documents and events with them, and nothing of them comes any more.
	m.allow("bob", sees(false, "ml"))
	g.eventually(t, bob, sees(false, "ml"))
	require.Eventually(t, func() bool { return len(retained(t, jsBob)) == 21 }, 5*time.Second, 10*time.Millisecond)
	// Rights that are gained bring them, those of before included.
	m.allow("ann", sees(true, "ml", "secret"))
	g.eventually(t, ann, sees(true, "ml", "secret"))
	require.Eventually(t, func() bool { return len(retained(t, jsAnn)) == 42 }, 5*time.Second, 10*time.Millisecond)
	seen := map[string]int{}
	for _, subject := range retained(t, jsAnn) {
		seen[subject]++
	}
	assert.Len(t, seen, 42, "each once")
}

func retained(t *testing.T, js jetstream.JetStream) (subjects []string) {
	t.Helper()
	stream, err := js.Stream(t.Context(), eventsStream)
	require.NoError(t, err)
	for sequence := stream.CachedInfo().State.FirstSeq; sequence > 0 && sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(t.Context(), sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		require.NoError(t, err)
		subjects = append(subjects, msg.Subject)
	}
	return subjects
}

func assertOnly(t *testing.T, w *watcher, namespace string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.ever {
		k, err := api.ParseKey(key)
		require.NoError(t, err)
		assert.Equal(t, namespace, k.Namespace, key)
	}
	for _, subject := range w.events {
		cell, ok := cellOf(subject)
		require.True(t, ok, subject)
		assert.Equal(t, namespace, cell.Namespace, subject)
	}
}

// TestNothingCanBeWritten plays what a client might try. What the server publishes in its place, replies and what consumers
// deliver, is not checked against the client's permissions; it stays in the client's account.
func TestNothingCanBeWritten(t *testing.T) {
	g, m := start(t, Options{})
	m.allow("ann", sees(false, "ml"))
	m.allow("bob", sees(false, "ml"))
	for i := range 5 {
		g.put(deployment("ml", i), 1)
		g.emit(deployment("ml", i), api.EventCreated, "new")
	}
	ncBob, jsBob := g.dial(t, "bob")
	bob := watch(t, ncBob, jsBob)
	g.eventually(t, bob, sees(false, "ml"))
	require.Eventually(t, func() bool { return len(retained(t, jsBob)) == 5 }, 5*time.Second, 10*time.Millisecond)

	var mu sync.Mutex
	violations := 0
	nc, js := g.dial(t, "ann", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		mu.Lock()
		defer mu.Unlock()
		if errors.Is(err, nats.ErrPermissionViolation) {
			violations++
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	victim := deployment("ml", 1).String()
	refused := 0
	try := func(what string, subject string, payload string) {
		t.Helper()
		refused++
		require.NoError(t, nc.PublishRequest(subject, "_INBOX.x", []byte(payload)), what)
	}
	try("a document", "$KV.kubefoundry."+victim, "forged")
	try("an event", "kubefoundry.events.deployments.ml.ml/kaito/llama-1.phase-changed", "forged")
	for _, stream := range []string{bucketStream, eventsStream} {
		try("purge", "$JS.API.STREAM.PURGE."+stream, "{}")
		try("delete", "$JS.API.STREAM.DELETE."+stream, "")
		try("update", "$JS.API.STREAM.UPDATE."+stream, `{"name":"`+stream+`","subjects":["x"]}`)
		try("delete a message", "$JS.API.STREAM.MSG.DELETE."+stream, `{"seq":1}`)
		try("snapshot", "$JS.API.STREAM.SNAPSHOT."+stream, `{"deliver_subject":"_INBOX.y"}`)
		try("restore", "$JS.API.STREAM.RESTORE."+stream, "{}")
	}
	try("create", "$JS.API.STREAM.CREATE.MINE", `{"name":"MINE","subjects":["mine"]}`)
	try("system", "$SYS.REQ.SERVER.PING", "")
	try("an inbox", "_INBOX.someone", "hello")
	require.NoError(t, nc.Flush())
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return violations == refused }, 5*time.Second, time.Millisecond)
	kv, err := js.KeyValue(ctx, bucketName)
	require.NoError(t, err)
	short, cancelShort := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancelShort()
	_, err = kv.Put(short, victim, []byte("forged"))
	require.Error(t, err)
	for _, subject := range []string{">", "$SYS.>", "$JS.EVENT.>", "_INBOX_other.>", "$JS.API.>", "*"} {
		before := func() int { mu.Lock(); defer mu.Unlock(); return violations }()
		_, err := nc.SubscribeSync(subject)
		require.NoError(t, err)
		require.NoError(t, nc.Flush())
		require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return violations > before }, 5*time.Second, time.Millisecond, subject)
	}

	// By reply: the server answers wherever the request says.
	for _, reply := range []string{"$KV.kubefoundry." + victim, "kubefoundry.events.deployments.ml.x.created", "$JS.API.STREAM.PURGE." + bucketStream} {
		require.NoError(t, nc.PublishRequest("$JS.API.STREAM.INFO."+bucketStream, reply, nil))
		require.NoError(t, nc.PublishRequest("$JS.API.DIRECT.GET."+bucketStream+".$KV.kubefoundry."+victim, reply, nil))
	}
	// It works, for what it is worth: the client has written into its own copy.
	require.Eventually(t, func() bool {
		return slices.Contains(retained(t, js), "kubefoundry.events.deployments.ml.x.created")
	}, 5*time.Second, 10*time.Millisecond)
	// By push consumers.
	for i, deliver := range []string{"$KV.kubefoundry.planted", "kubefoundry.events.deployments.ml.planted.created", "$JS.API.STREAM.DELETE." + bucketStream, "$SYS.REQ.SERVER.PING"} {
		for _, stream := range []string{bucketStream, eventsStream} {
			request := fmt.Sprintf(`{"stream_name":%q,"config":{"deliver_subject":%q,"deliver_policy":"all","ack_policy":"none","durable_name":"p%d"}}`, stream, deliver, i)
			response, err := nc.Request(fmt.Sprintf("$JS.API.CONSUMER.DURABLE.CREATE.%s.p%d", stream, i), []byte(request), 2*time.Second)
			require.NoError(t, err)
			refusedAsCycle := strings.Contains(string(response.Data), "forms a cycle") // onto the stream that it reads
			assert.Equal(t, !refusedAsCycle, !strings.Contains(string(response.Data), `"error"`), string(response.Data))
		}
	}
	g.put(deployment("ml", 2), 2)
	g.emit(deployment("ml", 2), api.EventPhaseChanged, "after")
	time.Sleep(500 * time.Millisecond)

	g.eventually(t, bob, sees(false, "ml"))
	bob.mu.Lock()
	for key := range bob.ever {
		assert.NotContains(t, key, "planted")
	}
	bob.mu.Unlock()
	require.Eventually(t, func() bool { return len(retained(t, jsBob)) == 6 }, 5*time.Second, 10*time.Millisecond)
	for _, subject := range slices.Concat(retained(t, jsBob), bob.heard()) {
		assert.NotContains(t, subject, "planted")
		assert.NotContains(t, subject, ".x.created")
	}
	for key, document := range shown(t, g.view, api.Everything()) {
		assert.NotContains(t, key+document, "forged")
		assert.NotContains(t, key, "planted")
	}
	page := shown(t, g.view, api.Everything())
	assert.Len(t, page, 5)
	// What it may have done to its own account is healed at the next change at the latest.
	g.put(deployment("ml", 3), 3)
	require.Eventually(t, func() bool {
		entry, err := kv.Get(ctx, deployment("ml", 3).String())
		return err == nil && strings.Contains(string(entry.Value()), `"version":3`)
	}, 10*time.Second, 10*time.Millisecond)
}

func TestWhoIsRefused(t *testing.T) {
	g, m := start(t, Options{Connections: 2, Callers: 2, Failures: 5})
	for _, user := range []string{"ann", "bob", "eve"} {
		m.allow(user, sees(false, "ml"))
	}
	_, err := g.connect("")
	require.ErrorIs(t, err, nats.ErrAuthorization)
	g.dial(t, "ann")
	byPassword, err := nats.Connect(g.url, nats.UserInfo("anything", "ann"), nats.Timeout(10*time.Second))
	require.NoError(t, err, "as a password")
	defer byPassword.Close()
	_, err = g.connect("ann")
	require.ErrorIs(t, err, nats.ErrAuthorization, "a third connection")
	g.dial(t, "bob")
	_, err = g.connect("eve")
	require.ErrorIs(t, err, nats.ErrAuthorization, "a third caller")
	for range 6 {
		_, err = g.connect("someone-secret")
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
	_, err = g.connect("bob")
	require.ErrorIs(t, err, nats.ErrAuthorization, "from where too many wrong ones came")
	reasons := map[string]int{}
	for _, entry := range g.logs.FilterMessage("client refused").All() {
		reasons[entry.ContextMap()["reason"].(string)]++
		assert.NotEmpty(t, entry.ContextMap()["remote"])
	}
	assert.Equal(t, map[string]int{"no token": 1, "too many connections": 1, "too many callers": 1, "token": 5, "throttled": 2}, reasons)
	for _, entry := range g.logs.All() {
		assert.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "someone-secret")
	}
}

func TestUnknownRightsEndInDisconnection(t *testing.T) {
	g, m := start(t, Options{})
	m.do(func() { m.validity = 500 * time.Millisecond })
	m.allow("ann", sees(false, "ml"))
	g.put(deployment("ml", 1), 1)
	nc, js := g.dial(t, "ann")
	ann := watch(t, nc, js)
	g.eventually(t, ann, sees(false, "ml"))

	m.do(func() { m.outage = api.Errorf(api.ErrorCodeUnavailable, "nobody answers") })
	require.Eventually(t, nc.IsClosed, 5*time.Second, time.Millisecond, "after its grant was over")
	g.put(deployment("ml", 1), 2)
	_, err := g.connect("ann")
	require.ErrorIs(t, err, nats.ErrAuthorization)
	m.do(func() { m.outage = nil })
	nc, js = g.dial(t, "ann")
	ann = watch(t, nc, js)
	g.eventually(t, ann, sees(false, "ml"))

	m.do(func() { m.expired["ann"] = true })
	require.Eventually(t, nc.IsClosed, 5*time.Second, time.Millisecond, "the token is not accepted any more")
}

func TestWhoComesBackFindsTheirConsumer(t *testing.T) {
	g, m := start(t, Options{})
	m.allow("ann", sees(false, "ml"))
	nc, js := g.dial(t, "ann")
	_, err := js.CreateConsumer(t.Context(), eventsStream, jetstream.ConsumerConfig{Durable: "robot", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	nc.Close()
	require.Eventually(t, func() bool { return value(t, g, "kubefoundry_automation_connections") == 0 }, 5*time.Second, 10*time.Millisecond)
	g.emit(deployment("ml", 1), api.EventCreated, "while away")
	time.Sleep(100 * time.Millisecond)
	_, js = g.dial(t, "ann")
	consumer, err := js.Consumer(t.Context(), eventsStream, "robot")
	require.NoError(t, err)
	msg, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
	require.NoError(t, err)
	assert.Contains(t, string(msg.Data()), "while away")
	require.NoError(t, msg.DoubleAck(t.Context()))
}

func TestAnAccountIsGivenBackEmpty(t *testing.T) {
	g, m := start(t, Options{Callers: 1, Grace: 10 * time.Millisecond})
	m.allow("ann", sees(false, "ml"))
	m.allow("bob", sees(false, "other"))
	g.put(deployment("ml", 1), 1)
	g.put(deployment("other", 1), 1)
	g.emit(deployment("ml", 1), api.EventCreated, "new")
	nc, js := g.dial(t, "ann")
	g.eventually(t, watch(t, nc, js), sees(false, "ml"))
	_, err := js.CreateConsumer(t.Context(), eventsStream, jetstream.ConsumerConfig{Durable: "robot"})
	require.NoError(t, err)
	nc.Close()
	require.Eventually(t, func() bool { return value(t, g, "kubefoundry_automation_callers") == 0 }, 5*time.Second, 10*time.Millisecond)
	nc, js = g.dial(t, "bob")
	bob := watch(t, nc, js)
	g.eventually(t, bob, sees(false, "other"))
	assertOnly(t, bob, "other")
	assert.Empty(t, retained(t, js))
	_, err = js.Consumer(t.Context(), eventsStream, "robot")
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
}

func TestASlowClientHurtsNobodyElse(t *testing.T) {
	g, m := start(t, Options{})
	m.allow("slow", sees(false, "ml"))
	m.allow("fast", sees(false, "ml"))
	slow, err := new(net.Dialer).DialContext(t.Context(), "tcp", g.bus.ListenAddress().String())
	require.NoError(t, err)
	defer slow.Close()
	_, err = fmt.Fprintf(slow, "CONNECT {\"auth_token\":\"slow\",\"verbose\":false}\r\nSUB $KV.kubefoundry.> 1\r\nPING\r\n")
	require.NoError(t, err)
	answer := bufio.NewScanner(slow)
	for answer.Scan() && answer.Text() != "PONG" {
	} // and nothing more is read
	nc, js := g.dial(t, "fast")
	fast := watch(t, nc, js)
	large := `,"x":"` + strings.Repeat("x", 100_000) + `"}`
	for i := range 500 { // far more than the sockets take
		g.publisher.Put(api.Document{Key: deployment("ml", i%50), JSON: []byte(`{"version":` + strconv.Itoa(i) + large)}, time.Now())
		time.Sleep(2 * time.Millisecond)
	}
	g.eventually(t, fast, sees(false, "ml"))
}

func TestTwoTokensOfAUserShareWhatBothMaySee(t *testing.T) {
	sight := sights{sees(false, "a", "b"), sees(true, "b", "c")}
	cell := func(namespace string) api.Cell {
		return api.Cell{Class: api.Class{Kind: api.KindPods}, Namespace: namespace}
	}
	assert.False(t, sight.includes(cell("a")))
	assert.True(t, sight.includes(cell("b")))
	assert.False(t, sight.includes(cell("c")))
	assert.False(t, sights{}.includes(cell("b")))
}

func value(t *testing.T, g *rig, name string) float64 {
	t.Helper()
	families, err := g.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue() + family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return -1
}
