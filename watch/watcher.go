package watch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// workers recompute documents. Two keep a slow document from holding up the others; more would only share the same core.
const workers = 2

// Watcher keeps a Publisher's documents equal to what the cluster has.
type Watcher struct {
	options Options
	clients clients
	log     *zap.Logger
	metrics *metrics
	link    *connection
	queue   *queue
	ledger  *ledger
	fleet   *fleet
	shelf   *shelf

	pods, nodes, warnings, operators collection
	// What tells of an autoscaler in kube-system.
	autoscalerStatus, autoscalerDeployments collection
	operations                              collection

	runtimes []*installed
	// sources of each kind, those that its documents cannot do without and those that are optional.
	sources map[api.Kind][]*source

	mu       sync.Mutex
	progress map[api.Kind]progress

	wg sync.WaitGroup
}

// New prepares a Watcher. Nothing is asked of the cluster before Run.
func New(options Options) (*Watcher, error) {
	options, err := options.completed()
	if err != nil {
		return nil, err
	}
	c, err := newClients(options.Config)
	if err != nil {
		return nil, err
	}
	return newWatcher(options, c), nil
}

func newWatcher(options Options, c clients) *Watcher {
	w := &Watcher{
		options: options, clients: c, log: options.Logger,
		queue: newQueue(), ledger: newLedger(), fleet: newFleet(),
		sources: map[api.Kind][]*source{}, progress: map[api.Kind]progress{},
	}
	w.metrics = newMetrics(w.queue.len)
	w.shelf = newShelf(options.Publisher, w.metrics)
	w.link = newConnection(c.host, c.version, w.log, func() {
		w.queue.add(api.ClusterKey(), cause{received: time.Now()})
	})
	w.addCoreSources()
	w.addOperations()
	for _, rt := range options.Runtimes {
		w.addRuntime(rt)
	}
	return w
}

// Run publishes until ctx ends, and returns when all its goroutines have ended. It may be called once.
func (w *Watcher) Run(ctx context.Context) error {
	for _, collector := range w.metrics.collectors() {
		if err := w.options.Registerer.Register(collector); err != nil {
			return fmt.Errorf("watch: metrics: %w", err)
		}
		defer w.options.Registerer.Unregister(collector)
	}
	ctx, cancel := context.WithCancel(quiet(ctx))
	defer w.clients.close()
	defer w.wg.Wait()
	defer w.queue.shut()
	defer cancel()

	for range workers {
		w.wg.Go(func() { w.work(ctx) })
	}
	w.wg.Go(func() { w.link.run(ctx) })
	for _, kind := range api.Kinds() {
		w.queue.add(api.SourcesKey(kind), cause{received: time.Now(), initial: true})
	}
	if err := w.startCore(ctx); err != nil {
		return err
	}
	for _, rt := range w.runtimes {
		if err := w.startRuntime(ctx, rt); err != nil {
			return err
		}
	}
	for _, kind := range api.Kinds() {
		if len(w.sources[kind]) == 0 { // nothing will ever call for it
			w.review(kind)
		}
	}
	<-ctx.Done()
	return nil
}
