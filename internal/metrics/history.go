package metrics

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// Window is what figures are taken over at most.
const Window = 2 * time.Minute

// maxKept is how many samples of one server are kept from one collection to the next. Servers have some hundred.
const maxKept = 5000

// history is what is kept of one server.
type history struct {
	at        time.Time // of the last reading
	last      map[string]counted
	intervals []interval
}

// counted is the value of a counter, or a part of a histogram.
type counted struct {
	name   string
	labels map[string]string
	value  float64
}

// interval is the time between two readings.
type interval struct {
	until      time.Time
	span       time.Duration
	increments []counted
}

// add takes a reading in. Only counters of which figures are made are kept.
func (h *history) add(at time.Time, samples []api.MetricSample) {
	now := make(map[string]counted)
	for _, s := range samples {
		name := plain(s.Name)
		if !counters[name] || len(now) >= maxKept {
			continue
		}
		c := counted{name, s.Labels, s.Value}
		now[c.key("")] = c
	}
	if h.last != nil && at.After(h.at) {
		h.intervals = append(h.intervals, interval{at, at.Sub(h.at), increments(h.last, now)})
	}
	h.at, h.last = at, now
	h.intervals = slices.DeleteFunc(h.intervals, func(i interval) bool { return at.Sub(i.until)+i.span > Window })
}

// span is the time that the intervals cover.
func (h *history) span() (span time.Duration) {
	for _, i := range h.intervals {
		span += i.span
	}
	return span
}

// increments are what counters grew by. One that fell has begun anew; parts of a histogram do so together. What was not there
// before began at 0, for servers show a counter from its first increment on.
func increments(before, now map[string]counted) []counted {
	anew := map[string]bool{}
	for key, c := range now {
		if last, ok := before[key]; ok && c.value < last.value && !strings.HasSuffix(c.name, "_sum") {
			anew[c.group()] = true
		}
	}
	var grown []counted
	for key, c := range now {
		if last, ok := before[key]; ok && !anew[c.group()] {
			c.value = max(0, c.value-last.value)
		}
		grown = append(grown, c)
	}
	return grown
}

// key is the same for the same series. without is a label that does not count.
func (c counted) key(without string) string {
	var b strings.Builder
	b.WriteString(c.name)
	for _, label := range slices.Sorted(maps.Keys(c.labels)) {
		if label != without {
			b.WriteString("\x00" + label + "\x00" + c.labels[label])
		}
	}
	return b.String()
}

// group is the same for what begins anew together.
func (c counted) group() string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(c.name, suffix); ok {
			c.name = base
			return c.key("le")
		}
	}
	return c.key("")
}

// plain is a name as the engine itself has it: Ray passes engines' metrics on with a prefix, and newer versions of it with an
// underscore in place of the colon.
func plain(name string) string {
	rest, ok := strings.CutPrefix(name, "ray_")
	if !ok {
		return name
	}
	for _, engine := range []string{"vllm", "sglang"} {
		if after, ok := strings.CutPrefix(rest, engine); ok && after != "" && (after[0] == ':' || after[0] == '_') {
			return engine + ":" + after[1:]
		}
	}
	return name
}
