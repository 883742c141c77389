package modelserver

import (
	"math"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// wave is the period in which the load of a pod rises and falls.
const wave = 10 * time.Minute

// load is what a pod has done since it started and does at one moment. Requests
// arrive at a rate that goes in a wave of its own per pod; everything else follows
// from their number.
type load struct {
	rate     float64 // requests per second, now
	requests float64 // since the start

	prompt     float64 // tokens per request
	generation float64
	first      float64 // seconds to the first token
	perToken   float64 // seconds
	hits       float64 // share of prompt tokens found in the prefix cache
	errors     float64 // share of requests

	uptime float64 // seconds
}

func loadOf(pod *corev1.Pod, now time.Time) load {
	chance := rand.New(rand.NewPCG(hashOf(string(pod.UID)), 2)) //nolint:gosec // repeatable, not secret
	between := func(low, high float64) float64 { return low + (high-low)*chance.Float64() }
	mean, phase := between(0.3, 3), between(0, 2*math.Pi)
	l := load{
		prompt: between(200, 1500), generation: between(80, 350),
		first: between(0.05, 0.4), perToken: between(0.008, 0.03),
		hits: between(0.1, 0.6), errors: between(0, 0.01),
	}
	if !ready(pod) {
		return l
	}
	l.uptime = max(0, now.Sub(startOf(pod)).Seconds())
	omega := 2 * math.Pi / wave.Seconds()
	l.rate = mean * (1 + 0.6*math.Sin(omega*l.uptime+phase))
	// The integral of the rate: counters must agree with it and never fall.
	l.requests = mean * (l.uptime + 0.6/omega*(math.Cos(phase)-math.Cos(omega*l.uptime+phase)))
	return l
}

// latency is the mean time of a request.
func (l load) latency() float64 { return l.first + l.perToken*l.generation }

// present is how many requests are in the pod, by Little's law.
func (l load) present() float64 { return l.rate * l.latency() }

// slots is how many requests a pod works on at a time; more of them wait.
const slots = 32

func (l load) active() float64 { return math.Round(min(l.present(), slots)) }

func (l load) waiting() float64 { return math.Round(max(0, l.present()-slots)) }

// cache is the share of the KV cache in use.
func (l load) cache() float64 { return min(0.97, l.active()*(l.prompt+l.generation)/65536) }

func (l load) served() float64 { return math.Floor(l.requests * (1 - l.errors)) }

func (l load) failed() float64 { return math.Floor(l.requests * l.errors) }
