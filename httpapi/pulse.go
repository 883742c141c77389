package httpapi

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kubefoundry/kubefoundry/view"
)

// pulse wakes the streams: at the first change at once, then at most once in every interval. One pulse for all of them
// makes their reads fall together, so that those with the same filter share the frame that the first one renders.
type pulse struct {
	interval time.Duration
	before   func() // called before the streams are woken
	beat     atomic.Pointer[chan struct{}]
}

func newPulse(interval time.Duration, before func()) *pulse {
	p := &pulse{interval: interval, before: before}
	first := make(chan struct{})
	p.beat.Store(&first)
	return p
}

// wait returns a channel that is closed at the next beat, or when the pulse has ended. Take it before reading, or a change in
// between goes unnoticed.
func (p *pulse) wait() <-chan struct{} { return *p.beat.Load() }

func (p *pulse) run(ctx context.Context, v *view.View) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	defer func() { close(*p.beat.Load()) }()
	for {
		changed := v.Wait()
		p.before()
		next := make(chan struct{})
		close(*p.beat.Swap(&next))
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		select {
		case <-rest.C:
		case <-ctx.Done():
			return
		}
		rest.Reset(p.interval)
	}
}
