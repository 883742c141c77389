package modelserver

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// exposition is metrics in the Prometheus text format.
type exposition struct{ bytes.Buffer }

// labels are written as they stand: `model_name="x",engine="0"`.
type labels string

func label(pairs ...string) labels {
	var all labels
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			all += ","
		}
		all += labels(pairs[i] + "=" + strconv.Quote(pairs[i+1]))
	}
	return all
}

func (l labels) with(more labels) labels {
	if l == "" || more == "" {
		return l + more
	}
	return l + "," + more
}

func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (e *exposition) sample(name string, l labels, value float64) {
	e.WriteString(name)
	if l != "" {
		e.WriteString("{" + string(l) + "}")
	}
	e.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

func (e *exposition) gauge(name, help string, l labels, value float64) {
	e.family(name, "gauge", help)
	e.sample(name, l, value)
}

func (e *exposition) counter(name, help string, l labels, value float64) {
	e.family(name, "counter", help)
	e.sample(name, l, math.Floor(value))
}

// histogram of n values around a mean, falling off exponentially.
func (e *exposition) histogram(name, help string, l labels, buckets []float64, n, mean float64) {
	e.family(name, "histogram", help)
	n = math.Floor(n)
	for _, bound := range buckets {
		le := label("le", strconv.FormatFloat(bound, 'g', -1, 64))
		e.sample(name+"_bucket", l.with(le), math.Floor(n*(1-math.Exp(-bound/mean))))
	}
	e.sample(name+"_bucket", l.with(label("le", "+Inf")), n)
	e.sample(name+"_sum", l, n*mean)
	e.sample(name+"_count", l, n)
}
