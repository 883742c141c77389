package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// listBench lists deployments.
type listBench struct {
	quick    bool
	binary   string
	requests int
	atMost   time.Duration
	few      int // deployments of a small cluster
	many     int // documents that the view is filled with
	listed   int // deployments that the uncached handler lists for the large one
	bytes    int
}

func newListBench(flags *flag.FlagSet) *listBench {
	b := &listBench{}
	flags.BoolVar(&b.quick, "quick", false, "a tenth of everything, for seconds instead of minutes")
	flags.StringVar(&b.binary, "binary", "bin/kubefoundry", "the server to measure")
	flags.IntVar(&b.requests, "requests", 1000, "requests one after the other")
	flags.DurationVar(&b.atMost, "time", 4*time.Second, "time for those at most, and for as many as can be at once")
	flags.IntVar(&b.few, "few", 50, "deployments of a small cluster")
	flags.IntVar(&b.many, "many", 10_000, "documents of a large one")
	flags.IntVar(&b.listed, "listed", 2000, "deployments that the baseline lists for the large one")
	flags.IntVar(&b.bytes, "bytes", 1300, "bytes of a document of the large one")
	return b
}

// Aims.
const (
	aimList = time.Millisecond
	aimPage = 2 * time.Millisecond
	aimRate = 30.0
)

const listPath = "/api/deployments"

func (b *listBench) run(ctx context.Context, out io.Writer) (err error) {
	if b.quick {
		b.requests, b.atMost, b.many, b.listed = b.requests/10, time.Second, b.many/10, b.listed/10
	}
	kube, err := startAPIServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kube.stop()) }()
	uncached, err := startProcess(ctx, casting{Role: roleUncached, Kubeconfig: kube.cluster.Kubeconfig()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, uncached.stop()) }()
	r := newReport(out, "list: the baseline lists three custom resources from the API server for each request, without pods and events")
	if err := b.small(ctx, r, kube, uncached); err != nil {
		return err
	}
	if err := b.identities(ctx, r, kube); err != nil {
		return err
	}
	return b.large(ctx, r, kube, uncached)
}

// small is the whole path: API server, kubefoundry serve, HTTP.
func (b *listBench) small(ctx context.Context, r *report, kube *apiServer, uncached *process) (err error) {
	progress("list: %d deployments", b.few)
	if err := kube.deploy(ctx, 0, b.few); err != nil {
		return err
	}
	server, err := startServer(ctx, b.binary, kube.cluster.Kubeconfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()

	before, err := kube.calls(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	us := newCaller(server.address, listPath, false)
	ours, err := us.measure(ctx, b.requests, b.atMost)
	if err != nil {
		return err
	}
	after, err := kube.calls(ctx)
	if err != nil {
		return err
	}
	if err := sleep(ctx, time.Since(begun)); err != nil {
		return err
	}
	idle, err := kube.calls(ctx)
	if err != nil {
		return err
	}
	baseline := newCaller(uncached.address, "/", false)
	bare, err := baseline.measure(ctx, b.requests, b.atMost)
	if err != nil {
		return err
	}
	listed, err := kube.calls(ctx)
	if err != nil {
		return err
	}
	b.row(r, fmt.Sprintf("%d deployments (%d KB; baseline %d KB)", b.few, us.bytes>>10, baseline.bytes>>10), ours, bare, "p50 < 1 ms", ours.p50 < aimList)
	none := after-before <= idle-after
	r.row(row{
		what: "  Kubernetes calls per request", measured: fmt.Sprintf("%.4f", (after-before)/float64(ours.requests)),
		baseline: fmt.Sprintf("%.2f", (listed-idle)/float64(bare.requests)), aim: "0 beside what an idle time has", met: &none,
	})
	r.note("%.0f calls during %d requests, and %.0f in the same time without any (leases and checks of the API server itself)",
		after-before, ours.requests, idle-after)
	return nil
}

// large is the HTTP API over a view with generated documents.
func (b *listBench) large(ctx context.Context, r *report, kube *apiServer, uncached *process) (err error) {
	progress("list: %d documents; the baseline has %d deployments", b.many, b.listed)
	if err := kube.deploy(ctx, b.few, b.listed); err != nil {
		return err
	}
	bare, err := newCaller(uncached.address, "/", false).measure(ctx, b.requests, b.atMost)
	if err != nil {
		return err
	}
	p, err := startProcess(ctx, casting{Role: roleView, Documents: b.many, Bytes: b.bytes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	r.note("%d documents: generated ones of %d B in the view; the baseline lists the %d deployments that the cluster has, whole,", b.many, b.bytes, b.listed)
	r.note("for it has no pages: the API server's are in the order of names")
	page := newCaller(p.address, listPath+"?limit=100", false)
	ours, err := page.measure(ctx, b.requests, b.atMost)
	if err != nil {
		return err
	}
	b.row(r, fmt.Sprintf("page of 100 of %d (%d KB)", b.many, page.bytes>>10), ours, bare, "p50 < 2 ms", ours.p50 < aimPage)

	// Each change makes what was rendered before worthless.
	changing := make(chan error, 1)
	go func() {
		_, err := p.ask(order{Burst: 2*b.atMost + time.Second, Rate: 200})
		changing <- err
	}()
	ours, err = page.measure(ctx, b.requests, b.atMost)
	if err := errors.Join(err, <-changing); err != nil {
		return err
	}
	b.row(r, "  while 200 documents change each second", ours, bare, "p50 < 2 ms", ours.p50 < aimPage)

	for _, gzip := range []bool{false, true} {
		whole := newCaller(p.address, listPath, gzip)
		if ours, err = whole.measure(ctx, b.requests, b.atMost); err != nil {
			return err
		}
		encoding := map[bool]string{false: "plain", true: "gzip"}[gzip]
		r.row(row{
			what:     fmt.Sprintf("all %d, %s (%d KB): p50 / p99", b.many, encoding, whole.bytes>>10),
			measured: ms(ours.p50) + " / " + ms(ours.p99), baseline: ms(bare.p50) + " / " + ms(bare.p99), ratio: times(float64(bare.p50) / float64(ours.p50)),
		})
	}
	return nil
}

// row prints two lines: time, with its aim, and rate.
func (b *listBench) row(r *report, what string, ours, bare called, aim string, met bool) {
	r.row(row{
		what: what + ": p50 / p99", measured: ms(ours.p50) + " / " + ms(ours.p99), baseline: ms(bare.p50) + " / " + ms(bare.p99),
		ratio: times(float64(bare.p50) / float64(ours.p50)), aim: aim, met: &met,
	})
	ratio := ours.rate / bare.rate
	enough := ratio >= aimRate
	r.row(row{
		what: fmt.Sprintf("  requests per second of %d callers", callersAtOnce), measured: fmt.Sprintf("%.0f/s", ours.rate), baseline: fmt.Sprintf("%.0f/s", bare.rate),
		ratio: times(ratio), aim: ">= 30x", met: &enough,
	})
}
