package metrics

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// bucket counts what was observed up to its bound.
type bucket struct{ bound, count float64 }

// histogram are cumulative buckets in the order of their bounds, which do not fall.
type histogram []bucket

func newHistogram(counts map[float64]float64) histogram {
	h := make(histogram, 0, len(counts))
	for _, bound := range slices.Sorted(maps.Keys(counts)) {
		count := counts[bound]
		if len(h) > 0 { // of buckets that were read one after the other while the server counted
			count = max(count, h[len(h)-1].count)
		}
		h = append(h, bucket{bound, count})
	}
	return h
}

func (h histogram) total() float64 {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].count
}

// below is how many values are taken to lie below x: in proportion, within a bucket.
func (h histogram) below(x float64) float64 {
	i, _ := slices.BinarySearchFunc(h, x, func(b bucket, x float64) int { return cmp.Compare(b.bound, x) })
	if i == len(h) {
		return h.total()
	}
	b, low := h[i], h.lower(i)
	switch {
	case x >= b.bound:
		return b.count
	case x <= low.bound || math.IsInf(b.bound, 1):
		return low.count
	}
	return low.count + (b.count-low.count)*(x-low.bound)/(b.bound-low.bound)
}

// lower is where a bucket begins. The first one does at 0, if its bound is above.
func (h histogram) lower(i int) bucket {
	if i > 0 {
		return h[i-1]
	}
	return bucket{min(0, h[0].bound), 0}
}

// merge adds up histograms whose bounds need not be the same, as those of two versions of a server.
func merge(all []histogram) histogram {
	if len(all) == 1 {
		return all[0]
	}
	counts := map[float64]float64{}
	for _, h := range all {
		for _, b := range h {
			counts[b.bound] = 0
		}
	}
	for bound := range counts {
		for _, h := range all {
			counts[bound] += h.below(bound)
		}
	}
	return newHistogram(counts)
}

// quantile is the value below which a share q of what was observed lies, as Prometheus' histogram_quantile: in the last bucket,
// which has no end, it is where that begins.
func (h histogram) quantile(q float64) float64 {
	rank := q * h.total()
	i := slices.IndexFunc(h, func(b bucket) bool { return b.count >= rank })
	if i < 0 {
		i = len(h) - 1
	}
	b, low := h[i], h.lower(i)
	switch {
	case math.IsInf(b.bound, 1):
		return low.bound
	case i == 0 && b.bound <= 0, b.count <= low.count:
		return b.bound
	}
	return low.bound + (b.bound-low.bound)*(rank-low.count)/(b.count-low.count)
}
