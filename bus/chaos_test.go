package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus/bustest"
)

// chaosTime is how long the chaos of one store lasts: KUBEFOUNDRY_CHAOS, such as 5m, or 10 s.
func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("KUBEFOUNDRY_CHAOS")
	if text == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

// TestChaos does to the bus, over and over and at random, what can happen to it, and asks after each round that the sink
// comes to hold what was put, having seen nothing on the way that the contract rules out.
func TestChaos(t *testing.T) {
	for name, dir := range stores() {
		t.Run(name, func(t *testing.T) {
			c := newChaos(t, dir, tuning{}, allDisasters())
			for began := time.Now(); time.Since(began) < chaosTime(t); {
				if fault := c.round(); fault != "" {
					t.Fatalf("round %d, after %q, seed %d: %s\n%s", c.rounds, c.last, c.seed, fault, c)
				}
			}
			t.Log(c)
		})
	}
}

// TestChaosNeedsItsGuards switches off one guard of the follower at a time and expects the chaos to find out.
func TestChaosNeedsItsGuards(t *testing.T) {
	if testing.Short() {
		t.Skip("takes about 20 s")
	}
	for _, c := range []struct {
		guard     string
		tuning    tuning
		disasters []string
	}{
		{"epoch check", tuning{withoutEpochCheck: true}, []string{"recreate bucket"}},
		{"own re-watch", tuning{withoutRewatch: true}, []string{"restart server"}},
		{"readiness", tuning{withoutReadiness: true}, []string{"recreate bucket", "restart server"}},
		{"tombstone horizon", tuning{withoutHorizon: true}, []string{"cut follower off"}},
	} {
		t.Run(c.guard, func(t *testing.T) {
			chaos := newChaos(t, "", c.tuning, c.disasters)
			if c.tuning.withoutHorizon {
				// Let it run into what matters, a document that came back from the dead, and not into what its statements say.
				chaos.model.onEntry = nil
			}
			for range 20 {
				if fault := chaos.round(); fault != "" {
					t.Logf("found in round %d, after %q: %s", chaos.rounds, chaos.last, fault)
					return
				}
			}
			t.Errorf("not found without the guard: %s", chaos)
		})
	}
}

func stores() map[string]string {
	return map[string]string{"memory": "", "file": "a file of the server"}
}

// patience is how long a round may take to converge: more than a rewatch and a refill, less than the 10 to 20 s after
// which the library itself notices that its consumer is gone.
const patience = 6 * time.Second

// allDisasters names what can happen between two rounds.
func allDisasters() []string {
	return []string{
		"nothing", "restart server", "restart server at work", "recreate bucket", "recreate bucket at work",
		"delete bucket", "cut follower off", "disconnect publisher", "disconnect follower", "take over", "take over at work",
		"foreign write", "stop and resume",
	}
}

// chaos is one bus, what was put into it, and what its follower made of it.
type chaos struct {
	t         *testing.T
	seed      uint64
	random    *rand.Rand
	server    *bustest.Server
	bus       *Bus
	model     *model
	disasters []string

	publisher *Publisher
	stop      func()

	truth    map[api.Key]string
	version  int
	promises []map[api.Key]int // the versions that were put before the nth statement on pods
	debts    map[api.Key]debt
	overlap  bool // somebody else writes too, so that nobody's promises hold; guarded by the model's lock

	rounds, puts, deletes int
	happened              map[string]int
	last                  string
	slowest               time.Duration
}

func newChaos(t *testing.T, dir string, tuning tuning, disasters []string) *chaos {
	t.Helper()
	c := &chaos{
		t: t, seed: uint64(time.Now().UnixNano()), server: bustest.Start(t), model: newModel(), disasters: disasters,
		truth: map[api.Key]string{}, debts: map[api.Key]debt{}, happened: map[string]int{},
	}
	c.random = rand.New(rand.NewPCG(c.seed, 1))
	tuning.followerPoll = 150 * time.Millisecond
	tuning.publisherPoll = 200 * time.Millisecond
	tuning.heartbeat = 400 * time.Millisecond
	tuning.reconnectWait = 20 * time.Millisecond
	var err error
	c.bus, err = Open(context.Background(), Config{
		URL: c.server.URL(), StoreDir: dir, TombstoneTTL: 2 * time.Second, tuning: tuning,
	}, zap.NewNop(), nil)
	require.NoError(t, err)
	t.Cleanup(c.bus.Close)
	c.model.onEntry = c.keepsPromises

	c.publisher = c.bus.Publisher()
	for i := range 300 {
		key := api.NodeKey(fmt.Sprintf("steady-%d", i))
		c.model.required = append(c.model.required, key)
		c.put(key)
	}
	c.state()
	c.stop = start(t, c.publisher.Run)
	t.Cleanup(func() { c.stop() })
	start(t, follow(c.bus, c.model))
	return c
}

func (c *chaos) String() string {
	var happened []string
	for _, what := range slices.Sorted(maps.Keys(c.happened)) {
		happened = append(happened, fmt.Sprintf("%d × %s", c.happened[what], what))
	}
	return fmt.Sprintf("%d rounds, %d puts, %d deletes, %d epochs, slowest convergence %v; %s",
		c.rounds, c.puts, c.deletes, c.model.epochs, c.slowest.Round(time.Millisecond), strings.Join(happened, ", "))
}

func (c *chaos) put(key api.Key) {
	c.version++
	c.puts++
	json := fmt.Sprintf(`{"v":%d}`, c.version)
	c.truth[key] = json
	c.publisher.Put(doc(key, json), time.Now())
}

func (c *chaos) remove(key api.Key) {
	if _, ok := c.truth[key]; !ok {
		return
	}
	c.deletes++
	delete(c.truth, key)
	c.publisher.Delete(key, time.Now())
}

// state puts a statement on the pods, as watch does, which promises that all put so far is there.
func (c *chaos) state() {
	promise := map[api.Key]int{}
	for key, json := range c.truth {
		if key.Kind != api.KindSources {
			promise[key] = versionOf(json)
		}
	}
	c.model.mu.Lock()
	c.promises = append(c.promises, promise)
	n := len(c.promises)
	c.model.mu.Unlock()
	key, json := api.SourcesKey(api.KindPods), fmt.Sprintf(`{"v":%d}`, n)
	c.truth[key] = json
	c.publisher.Put(doc(key, json), time.Now())
}

func versionOf(document string) int {
	var v struct{ V int }
	_ = json.Unmarshal([]byte(document), &v)
	return v.V
}

// debt is a document that was not there yet when a statement promised its version. That is no fault where it was put
// again since: then the promised version is gone from the bucket, and the newer one comes behind the statement. It is a
// fault if the promised version itself does.
type debt struct{ version, statement int }

// keepsPromises checks that no statement reached the bucket before what it is about. The model's lock is held.
func (c *chaos) keepsPromises(e api.Entry) {
	if c.overlap || !c.model.complete {
		clear(c.debts)
		return
	}
	if d, ok := c.debts[e.Key]; ok {
		switch version := versionOf(string(e.JSON)); {
		case e.Deleted() || version > d.version:
			delete(c.debts, e.Key)
		case version == d.version:
			c.model.fault("statement %d came before version %d of %s", d.statement, version, e.Key)
		}
	}
	if e.Key != api.SourcesKey(api.KindPods) || e.Deleted() {
		return
	}
	statement := versionOf(string(e.JSON))
	for key, version := range c.promises[statement-1] {
		have, ok := c.model.entries[key]
		if !ok || !have.Deleted() && versionOf(string(have.JSON)) < version {
			c.debts[key] = debt{version, statement}
		}
	}
}

func (c *chaos) anyKey() api.Key {
	n := c.random.IntN(60)
	switch c.random.IntN(3) {
	case 0:
		return pod(n)
	case 1:
		return api.DeploymentKey("ml", "kaito", fmt.Sprintf("d.%d", n))
	}
	return api.NodeKey(fmt.Sprintf("n%d", n))
}

func (c *chaos) work(n int) {
	for range n {
		key := c.anyKey()
		if c.random.IntN(4) == 0 {
			c.remove(key)
		} else {
			c.put(key)
		}
		switch c.random.IntN(200) {
		case 0:
			c.server.Disconnect(bustest.Follower)
		case 1:
			c.server.Disconnect(bustest.Publisher)
		case 2, 3, 4, 5:
			c.state()
		case 6:
			time.Sleep(time.Duration(c.random.IntN(20)) * time.Millisecond)
		}
	}
}

// round works, lets something happen, works again and waits until all is well. It returns what is not.
func (c *chaos) round() string {
	c.rounds++
	c.work(50 + c.random.IntN(300))
	c.last = c.disasters[c.random.IntN(len(c.disasters))]
	c.happened[c.last]++
	c.disaster(c.last)
	c.work(c.random.IntN(100))
	c.state()
	return c.converges()
}

func (c *chaos) converges() string {
	began := time.Now()
	for {
		if faults := c.model.broken(); len(faults) > 0 {
			return strings.Join(faults[:min(3, len(faults))], "\n")
		}
		difference := c.model.difference(c.truth)
		if difference == "" {
			took := time.Since(began)
			c.slowest = max(c.slowest, took)
			if took > time.Second {
				c.t.Logf("round %d, after %q, converged after %v", c.rounds, c.last, took)
			}
			c.setOverlap(false)
			return ""
		}
		if time.Since(began) > patience {
			return fmt.Sprintf("not equal after %v: %s", patience, difference)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (c *chaos) setOverlap(overlap bool) {
	c.model.mu.Lock()
	defer c.model.mu.Unlock()
	c.overlap = overlap
}

func (c *chaos) disaster(what string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// alongside does something while documents are put.
	alongside := func(do func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			do()
		}()
		c.work(200)
		<-done
	}
	switch what {
	case "restart server":
		c.server.Restart()
	case "restart server at work":
		alongside(c.server.Restart)
	case "recreate bucket":
		// It may not exist just now, and that is as well.
		_ = c.server.RecreateBucket(ctx, c.bus.config.Bucket)
	case "recreate bucket at work":
		alongside(func() { _ = c.server.RecreateBucket(ctx, c.bus.config.Bucket) })
	case "delete bucket":
		_ = c.server.DeleteBucket(ctx, c.bus.config.Bucket)
	case "cut follower off":
		// For longer than tombstones last.
		c.server.Cut(bustest.Follower)
		c.work(200)
		time.Sleep(3500 * time.Millisecond)
		c.server.Mend(bustest.Follower)
	case "disconnect publisher":
		c.server.Disconnect(bustest.Publisher)
	case "disconnect follower":
		alongside(func() { c.server.Disconnect(bustest.Follower) })
	case "take over":
		c.stop()
		c.takeOver()
	case "take over at work":
		c.setOverlap(true)
		stopped := make(chan struct{})
		stop := c.stop
		go func() {
			defer close(stopped)
			stop()
		}()
		c.takeOver()
		<-stopped
	case "foreign write":
		// A leader of old that wakes up once more.
		c.setOverlap(true)
		o, err := c.publisher.bucket.open(ctx)
		if err != nil {
			return
		}
		if _, err = o.kv.Put(ctx, pod(1).String(), []byte(`{"v":0}`)); err == nil {
			err = o.kv.Purge(ctx, api.NodeKey("n1").String(), jetstream.PurgeTTL(2*time.Second))
		}
		if err != nil && !strings.Contains(err.Error(), "stream") {
			c.t.Logf("foreign write: %v", err)
		}
		// What is not wanted at all is purged of settled kinds only.
		c.publisher.Settle(api.KindPods)
	case "stop and resume":
		c.stop()
		c.work(50)
		c.stop = start(c.t, c.publisher.Run)
	}
}

// takeOver has a new publisher say all anew, while documents disappeared that it never heard of.
func (c *chaos) takeOver() {
	for range 20 {
		delete(c.truth, c.anyKey())
	}
	c.publisher = c.bus.Publisher()
	c.stop = start(c.t, c.publisher.Run)
	for key, json := range c.truth {
		if key.Kind != api.KindSources {
			c.publisher.Put(doc(key, json), time.Now())
		}
	}
	for _, kind := range []api.Kind{api.KindPods, api.KindDeployments, api.KindNodes} {
		c.publisher.Settle(kind)
	}
	c.state()
}
