package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// fanoutBench sends events to many streams.
type fanoutBench struct {
	quick       bool
	many        int // streams of the largest part
	rounds      int
	events      int // of a round
	bytes       int // of a document that changes alone
	hot         int // documents of the load
	hotBytes    int
	rate        int // of the load, changes per second
	loadStreams int
	loadFor     time.Duration
	profiles    string
}

func newFanoutBench(flags *flag.FlagSet) *fanoutBench {
	b := &fanoutBench{}
	flags.BoolVar(&b.quick, "quick", false, "a tenth of everything, for seconds instead of minutes")
	flags.IntVar(&b.many, "streams", 5000, "streams of the largest part; the other has a fifth of that")
	flags.IntVar(&b.rounds, "rounds", 3, "measurements of each side in turn, of which the median counts")
	flags.IntVar(&b.events, "events", 25, "events to all streams in a round")
	flags.IntVar(&b.bytes, "bytes", 1300, "bytes of a document that changes alone")
	flags.IntVar(&b.hot, "hot", 200, "documents that change under load")
	flags.IntVar(&b.hotBytes, "hot-bytes", 340, "bytes of each of those; the server's default sizes make two events of all of them")
	flags.IntVar(&b.rate, "rate", 20_000, "changes per second under load")
	flags.IntVar(&b.loadStreams, "load-streams", 500, "streams under load")
	flags.DurationVar(&b.loadFor, "load", 4*time.Second, "time under load in a round")
	flags.StringVar(&b.profiles, "profiles", "", "folder for CPU and heap profiles of KubeFoundry's side")
	return b
}

const streamPath = "/api/stream?kinds=deployments"

func (b *fanoutBench) run(ctx context.Context, out io.Writer) error {
	if b.quick {
		b.many, b.rounds, b.events, b.loadStreams, b.loadFor = b.many/10, 2, 10, b.loadStreams/5, time.Second
	}
	r := newReport(out, "fanout: events to many streams; the baseline is a net/http handler that writes the same rendered bytes")
	for _, streams := range []int{b.many / 5, b.many} {
		if err := b.single(ctx, r, streams); err != nil {
			return err
		}
	}
	if err := b.load(ctx, r); err != nil {
		return err
	}
	return b.stalled(ctx, r)
}

// side is a server and its clients.
type side struct {
	process *process
	crowd   *crowd
	// empty and idle are what the server used before its clients came and after.
	empty, idle usage
	// profile is a file's name without its ending, empty for none.
	profile string
}

func newSide(ctx context.Context, role string, documents, bytes, streams int) (*side, error) {
	p, err := startProcess(ctx, casting{Role: role, Documents: documents, Bytes: bytes})
	if err != nil {
		return nil, err
	}
	s := &side{process: p}
	// The first stream pays for what all share.
	first, err := newCrowd(ctx, p.address, streamPath, 1)
	if err == nil {
		first.close()
		s.empty, err = p.ask(order{Settle: true})
	}
	if err == nil {
		s.crowd, err = newCrowd(ctx, p.address, streamPath, streams)
	}
	if err == nil {
		s.crowd.wait(0)
		s.idle, err = p.ask(order{Settle: true})
	}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return s, nil
}

func (s *side) close() {
	s.crowd.close()
	_ = s.process.stop() // it has been asked all there was to ask
}

// perStream is the idle memory of a stream in KiB.
func (s *side) perStream() (resident, heap, stack float64) {
	each := func(idle, empty uint64) float64 {
		return (float64(idle) - float64(empty)) / float64(len(s.crowd.members)) / 1024
	}
	return each(s.idle.Resident, s.empty.Resident), each(s.idle.Heap, s.empty.Heap), each(s.idle.Stack, s.empty.Stack)
}

// measured is what one order cost.
type measured struct {
	cpu      float64 // per event and stream, in µs
	events   int64
	p50, p99 time.Duration
	seconds  float64
	cores    float64
}

// cost gives an order and sees all of its events arrive: want at most, for those that fall together become one.
func (s *side) cost(o order, want int64) (m measured, err error) {
	o.Profile = s.profile
	s.crowd.forget()
	before, err := s.process.ask(order{})
	if err != nil {
		return m, err
	}
	begun := time.Now()
	if _, err = s.process.ask(o); err != nil {
		return m, err
	}
	s.crowd.wait(want)
	if lost := s.crowd.lost.Load(); lost > 0 {
		return m, fmt.Errorf("%d streams were lost", lost)
	}
	after, err := s.process.ask(order{})
	if err != nil {
		return m, err
	}
	cpu := after.CPU - before.CPU
	m.events, m.seconds = s.crowd.received.Load(), time.Since(begun).Seconds()
	m.cpu = float64(cpu) / 1e3 / float64(max(m.events, 1))
	m.cores = cpu.Seconds() / m.seconds
	all := s.crowd.samples()
	m.p50, m.p99 = all.at(50), all.at(99)
	return m, nil
}

// pair is both sides.
type pair struct{ ours, bare *side }

func newPair(ctx context.Context, documents, bytes, streams int) (pair, error) {
	ours, err := newSide(ctx, roleView, documents, bytes, streams)
	if err != nil {
		return pair{}, err
	}
	bare, err := newSide(ctx, roleBare, documents, bytes, streams)
	if err != nil {
		ours.close()
		return pair{}, err
	}
	return pair{ours, bare}, nil
}

func (p pair) close() {
	p.ours.close()
	p.bare.close()
}

// compare gives both sides the same order, in turn, and returns the measurement of each with the median CPU.
func (p pair) compare(rounds int, o order, want int64) (ours, bare measured, err error) {
	var a, b rounded
	for range rounds {
		m, err := p.ours.cost(o, want)
		if err != nil {
			return ours, bare, fmt.Errorf("KubeFoundry: %w", err)
		}
		a = append(a, m)
		if m, err = p.bare.cost(o, want); err != nil {
			return ours, bare, fmt.Errorf("baseline: %w", err)
		}
		b = append(b, m)
	}
	return a.median(), b.median(), nil
}

// rounded are the measurements of the rounds.
type rounded []measured

func (r rounded) median() measured {
	of := func(f func(measured) float64) float64 {
		values := make([]float64, len(r))
		for i, m := range r {
			values[i] = f(m)
		}
		return median(values)
	}
	return measured{
		cpu:     of(func(m measured) float64 { return m.cpu }),
		events:  int64(of(func(m measured) float64 { return float64(m.events) })),
		p50:     time.Duration(of(func(m measured) float64 { return float64(m.p50) })),
		p99:     time.Duration(of(func(m measured) float64 { return float64(m.p99) })),
		seconds: of(func(m measured) float64 { return m.seconds }),
		cores:   of(func(m measured) float64 { return m.cores }),
	}
}
