package standin

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Names of the runtimes, as the product has them.
const (
	KAITO   = "kaito"
	KubeRay = "kuberay"
	Dynamo  = "dynamo"
)

// workers reconcile at a time per kind. The API server is the bottleneck, not us.
const workers = 8

// Options say what stands in.
type Options struct {
	// Runtimes to stand in for; nil means all three. A runtime left out behaves as
	// one whose operator is not installed.
	Runtimes []string
	// Autoscaler also writes the status of a cluster-autoscaler.
	Autoscaler bool
	// Informers are shared with other users of the same process, and come from
	// [Informers]. Nil means that Run makes its own.
	Informers informers.SharedInformerFactory
	// Log gets what goes wrong; nil discards it.
	Log *slog.Logger
}

func (o Options) has(runtime string) bool {
	return o.Runtimes == nil || slices.Contains(o.Runtimes, runtime)
}

// Run stands in for the operators until ctx ends. The definitions of the custom
// resources may be installed before, after or during that time. The error says
// what could not be started; a canceled ctx is none.
func Run(ctx context.Context, cfg *rest.Config, options Options) error {
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	factory := options.Informers
	if factory == nil {
		var err error
		if factory, err = Informers(cfg); err != nil {
			return fmt.Errorf("stand-ins: %w", err)
		}
	}
	c, err := newCluster(cfg, factory, log)
	if err != nil {
		return fmt.Errorf("stand-ins: %w", err)
	}
	var group crew
	if options.has(KAITO) {
		w := newWorkspaces(c)
		err = group.add(ctx, c, w.kind, w.loop, labelWorkspace, nil)
	}
	if err == nil && options.has(KubeRay) {
		r := newRayClusters(c)
		s := newRayServices(c, r)
		if err = group.add(ctx, c, r.kind, r.loop, labelRayCluster, cache.Indexers{byOrigin: originOf}); err == nil {
			err = group.add(ctx, c, s.kind, s.loop, "", nil)
		}
	}
	if err == nil && options.has(Dynamo) {
		g := newGraphs(c)
		err = group.add(ctx, c, g.kind, g.loop, labelGraph, nil)
	}
	if err != nil {
		return fmt.Errorf("stand-ins: %w", err)
	}
	events, err := newKubeletEvents(c)
	if err != nil {
		return fmt.Errorf("stand-ins: %w", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	group.start(ctx, c)
	group.run(func() { events.run(ctx) })
	group.run(func() { announce(ctx, c, options) })
	if options.Autoscaler {
		group.run(func() { newAutoscaler(c).run(ctx) })
	}
	group.Wait()
	return nil
}

// crew is the kinds that are acted on, and everything that has to end before Run
// returns.
type crew struct {
	sync.WaitGroup
	members []member
}

type member struct {
	kind *kind
	loop *loop
}

func (g *crew) run(work func()) { g.Go(work) }

// add makes the informer of a kind and leads its events, and those of the pods
// with a label, into the loop.
func (g *crew) add(ctx context.Context, c *cluster, k *kind, l *loop, podLabel string, indexers cache.Indexers) error {
	if indexers == nil {
		indexers = cache.Indexers{}
	}
	if err := k.watch(ctx, c, indexers); err != nil {
		return err
	}
	if err := l.follow(k.informer); err != nil {
		return fmt.Errorf("%s: %w", k.gvr.Resource, err)
	}
	if podLabel != "" {
		if err := l.followPods(c.pods, podLabel); err != nil {
			return fmt.Errorf("%s: pods: %w", k.gvr.Resource, err)
		}
	}
	g.members = append(g.members, member{k, l})
	return nil
}

// start lets every kind work as soon as its own informer has synced, so that a
// missing definition holds up nobody else.
func (g *crew) start(ctx context.Context, c *cluster) {
	for _, m := range g.members {
		g.run(func() { m.kind.informer.RunWithContext(ctx) })
		g.run(func() {
			if cache.WaitForCacheSync(ctx.Done(), m.kind.informer.HasSynced) {
				m.loop.run(ctx, c, workers)
			}
		})
	}
}
