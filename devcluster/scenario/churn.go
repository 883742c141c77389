package scenario

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// mostBroken is the share of deployments that churn lets fail at a time.
const mostBroken = 0.05

// churn changes deployments at a steady rate. What it does next depends on the
// seed and on what it did before, never on the cluster.
type churn struct {
	*writer
	chance *rand.Rand
	pause  time.Duration
	live   []deployment
	gone   []deployment
	broken int
	step   int
}

func newChurn(w *writer, list []deployment, options Options) *churn {
	c := &churn{
		writer: w, chance: seeded(options.Seed + 1),
		pause: time.Duration(float64(time.Second) / options.Churn),
	}
	for _, d := range list {
		if d.steady {
			continue
		}
		c.live = append(c.live, d)
		if d.behaviour != "" {
			c.broken++
		}
	}
	return c
}

func (c *churn) run(ctx context.Context) {
	ticker := time.NewTicker(c.pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := c.next().write(ctx, c.writer); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
			c.log.Warn("churn", "step", c.step, "error", err)
		}
	}
}

// change is one thing that churn does.
type change struct {
	what   string
	d      deployment
	remove bool
}

func (c change) write(ctx context.Context, w *writer) error {
	switch {
	case c.what == "":
		return nil
	case c.remove:
		return w.remove(ctx, c.d)
	default:
		return w.apply(ctx, c.d)
	}
}

// next chooses the next change and remembers it as done.
func (c *churn) next() change {
	c.step++
	roll := c.chance.IntN(100)
	if len(c.live) == 0 || (roll < 7 && len(c.gone) > 0) {
		return c.comeBack()
	}
	i := c.chance.IntN(len(c.live))
	d := &c.live[i]
	switch {
	case roll < 7:
		return c.leave(i)
	case roll < 55:
		return c.rescale(d)
	case roll < 80:
		return c.note(d)
	case roll < 85:
		return c.upgrade(d)
	default:
		return c.flip(d)
	}
}

func (c *churn) comeBack() change {
	if len(c.gone) == 0 {
		return change{}
	}
	d := c.gone[0]
	c.gone = c.gone[1:]
	c.live = append(c.live, d)
	return change{what: "create", d: d}
}

// leave deletes a deployment; it comes back as it was, later.
func (c *churn) leave(i int) change {
	d := c.live[i]
	c.live[i] = c.live[len(c.live)-1]
	c.live = c.live[:len(c.live)-1]
	if d.behaviour != "" {
		c.broken--
		d.behaviour = ""
	}
	c.gone = append(c.gone, d)
	return change{what: "delete", d: d, remove: true}
}

func (c *churn) rescale(d *deployment) change {
	r := &d.worker
	if d.disaggregated() {
		r = []*role{&d.prefill, &d.decode}[c.chance.IntN(2)]
	}
	// Between what it began with and one more, so that the demand for GPUs stays
	// about where it was.
	if r.extra {
		r.replicas--
	} else {
		r.replicas++
	}
	r.extra = !r.extra
	return change{what: "scale", d: *d}
}

func (c *churn) note(d *deployment) change {
	text := fmt.Sprintf("change-%d", c.step)
	if c.chance.IntN(2) == 0 {
		d.labels = withEntry(d.labels, "example.com/reviewed", text)
	} else {
		d.notes = withEntry(d.notes, "example.com/note", text)
	}
	return change{what: "label", d: *d}
}

// withEntry copies: a change that is still being written holds the old map.
func withEntry(m map[string]string, key, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

// upgrade changes what the pods run, so that they are replaced one by one.
func (c *churn) upgrade(d *deployment) change {
	if d.preset || d.engine == llamacpp {
		return c.note(d)
	}
	d.context = []int{4096, 8192, 16384, 32768}[c.chance.IntN(4)]
	return change{what: "upgrade", d: *d}
}

// flip breaks a deployment that is fine, or mends one that is not.
func (c *churn) flip(d *deployment) change {
	if d.behaviour != "" {
		c.broken--
		d.behaviour, d.delay = "", ""
		return change{what: "mend", d: *d}
	}
	if float64(c.broken+1) > max(1, mostBroken*float64(len(c.live))) {
		return c.note(d)
	}
	c.broken++
	d.behaviour = []string{"crashloop", "oomkilled", "slow"}[c.chance.IntN(3)]
	return change{what: "break", d: *d}
}
