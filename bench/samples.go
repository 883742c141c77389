package main

import (
	"slices"
	"time"
)

// samples are times measured.
type samples []time.Duration

// at is a percentile, from 0 to 100.
func (s samples) at(percentile float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	slices.Sort(s)
	return s[min(int(float64(len(s))*percentile/100), len(s)-1)]
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
