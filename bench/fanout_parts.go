package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// Aims.
const (
	aimDelivery = 20.0 // µs of CPU
	aimMemory   = 36.0 // KiB
	aimLoad     = 1.2  // times the baseline's CPU
	aimStalled  = 1.10 // times the p99 without
)

// single sends one event at a time, and weighs streams that are idle.
func (b *fanoutBench) single(ctx context.Context, r *report, streams int) error {
	progress("fanout: %d streams, one event at a time", streams)
	p, err := newPair(ctx, b.hot, b.bytes, streams)
	if err != nil {
		return err
	}
	defer p.close()
	if b.profiles != "" {
		p.ours.profile = filepath.Join(b.profiles, fmt.Sprintf("single-%d", streams))
	}
	ours, ourHeap, ourStack := p.ours.perStream()
	bare, bareHeap, bareStack := p.bare.perStream()
	fewEnough := ours < aimMemory
	r.row(row{
		what: fmt.Sprintf("%d idle streams: resident per stream", streams), measured: fmt.Sprintf("%.1f KiB", ours),
		baseline: fmt.Sprintf("%.1f KiB", bare), ratio: times(ours / bare), aim: "< 36 KiB", met: &fewEnough,
	})
	r.row(row{
		what: "  heap + stacks in use; goroutines", measured: fmt.Sprintf("%.1f + %.1f KiB; %.1f", ourHeap, ourStack, p.ours.goroutines()),
		baseline: fmt.Sprintf("%.1f + %.1f KiB; %.1f", bareHeap, bareStack, p.bare.goroutines()),
		ratio:    times((ourHeap + ourStack) / (bareHeap + bareStack)),
	})
	// Long enough for one event to reach all before the next comes, so that none are put together.
	pause := 100*time.Millisecond + time.Duration(streams)*60*time.Microsecond
	a, c, err := p.compare(b.rounds, order{Single: b.events, Every: pause}, int64(b.events*streams))
	if err != nil {
		return err
	}
	cheap := a.cpu < aimDelivery
	r.row(row{
		what: fmt.Sprintf("  one event of %d B: CPU per delivery", b.bytes), measured: fmt.Sprintf("%.1f µs", a.cpu),
		baseline: fmt.Sprintf("%.1f µs", c.cpu), ratio: times(a.cpu / c.cpu), aim: "< 20 µs", met: &cheap,
	})
	r.row(row{
		what: "  from change to client, p50 / p99", measured: ms(a.p50) + " / " + ms(a.p99), baseline: ms(c.p50) + " / " + ms(c.p99),
		ratio: times(float64(a.p99) / float64(c.p99)),
	})
	return nil
}

func (s *side) goroutines() float64 {
	return float64(s.idle.Goroutines-s.empty.Goroutines) / float64(len(s.crowd.members))
}

// load changes few documents so fast that a stream cannot and need not send each change.
func (b *fanoutBench) load(ctx context.Context, r *report) error {
	progress("fanout: load")
	p, err := newPair(ctx, b.hot, b.hotBytes, b.loadStreams)
	if err != nil {
		return err
	}
	defer p.close()
	if b.profiles != "" {
		p.ours.profile = filepath.Join(b.profiles, "load")
	}
	a, c, err := p.compare(b.rounds, order{Burst: b.loadFor, Rate: b.rate}, 0)
	if err != nil {
		return err
	}
	ratio := a.cpu / c.cpu
	met := ratio <= aimLoad
	r.row(row{
		what:     fmt.Sprintf("%d changes/s of %d documents, %d streams: CPU per event", b.rate, b.hot, b.loadStreams),
		measured: fmt.Sprintf("%.1f µs", a.cpu), baseline: fmt.Sprintf("%.1f µs", c.cpu), ratio: times(ratio), aim: "<= 1.2x", met: &met,
	})
	r.row(row{
		what: "  events sent; cores", measured: fmt.Sprintf("%d; %.2f", a.events, a.cores),
		baseline: fmt.Sprintf("%d; %.2f", c.events, c.cores), ratio: times(float64(a.events) / float64(c.events)),
	})
	r.row(row{
		what: "  from the oldest change in an event, p50 / p99", measured: ms(a.p50) + " / " + ms(a.p99), baseline: ms(c.p50) + " / " + ms(c.p99),
		ratio: times(float64(a.p99) / float64(c.p99)),
	})
	return nil
}

// stalled lets one client stop reading. Its baseline is the same server without that client.
func (b *fanoutBench) stalled(ctx context.Context, r *report) error {
	progress("fanout: one client stops reading")
	streams := max(b.loadStreams/5, 1)
	s, err := newSide(ctx, roleView, b.hot, b.hotBytes, streams)
	if err != nil {
		return err
	}
	defer s.close()
	var with, without rounded
	round := func() (measured, error) {
		// Large events, until nothing more goes into the socket of a client that does not read.
		if _, err := s.cost(order{Burst: b.loadFor, Rate: b.rate}, 0); err != nil {
			return measured{}, err
		}
		return s.cost(order{Single: 3 * b.events, Every: 70 * time.Millisecond}, int64(3*b.events*streams))
	}
	for range b.rounds {
		m, err := round()
		if err != nil {
			return err
		}
		without = append(without, m)
		client, err := stall(ctx, s.process.address, streamPath)
		if err != nil {
			return err
		}
		m, err = round()
		_ = client.Close()
		if err != nil {
			return err
		}
		with = append(with, m)
	}
	a, c := with.median(), without.median()
	ratio := float64(a.p99) / float64(c.p99)
	met := ratio < aimStalled
	r.row(row{
		what:     fmt.Sprintf("%d streams and one that stalls: p99 of the others", streams),
		measured: ms(a.p99), baseline: ms(c.p99) + " without it", ratio: times(ratio), aim: "< 1.10x", met: &met,
	})
	r.row(row{what: "  p50", measured: ms(a.p50), baseline: ms(c.p50), ratio: times(float64(a.p50) / float64(c.p50))})
	return nil
}
