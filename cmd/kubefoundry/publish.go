package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/watch"
)

// publishing fills the bucket from the cluster until ctx ends.
type publishing struct {
	bus        *bus.Bus
	config     *rest.Config
	namespaces []string
	namespace  string // the server's own
	log        *zap.Logger
	registry   prometheus.Registerer
}

func (p publishing) run(ctx context.Context) error {
	publisher := p.bus.Publisher()
	watcher, err := watch.New(watch.Options{
		Config: p.config, Runtimes: registry.All(), Namespaces: p.namespaces, Namespace: p.namespace,
		Publisher: publisher, Logger: p.log.Named("watch"), Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return publisher.Run(ctx) })
	group.Go(func() error { return watcher.Run(ctx) })
	return group.Wait()
}

// elected runs p while this process holds the Lease: of several replicas on one NATS, one publishes and all follow. It
// returns when ctx ends or publishing fails; a process that merely lost the Lease stands for election again.
func (p publishing) elected(ctx context.Context, namespace string) error {
	client, err := kubernetes.NewForConfig(p.config)
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	host, _ := os.Hostname()
	identity := host + "_" + string(uuid.NewUUID())
	p.log = p.log.With(zap.String("lease", namespace+"/kubefoundry"))
	for ctx.Err() == nil {
		if err := p.term(ctx, client, namespace, identity); err != nil {
			return err
		}
	}
	return nil
}

// term stands for election and publishes until the Lease is lost or ctx ends.
func (p publishing) term(ctx context.Context, client kubernetes.Interface, namespace, identity string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	terms := make(chan context.Context, 1) // the elector does not wait for what it starts, so it only hands the term over
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kubefoundry"}, Client: client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(term context.Context) { terms <- term },
			OnStoppedLeading: func() { p.log.Info("not publishing: this replica does not hold the Lease") },
			OnNewLeader: func(leader string) {
				p.log.Info("leader elected", zap.String("leader", leader), zap.Bool("self", leader == identity))
			},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		elector.Run(ctx)
	}()
	defer func() { <-over }()
	defer cancel()
	select {
	case term := <-terms:
		return p.run(term) //nolint:contextcheck // the elector made it of ctx
	case <-over:
		return nil
	}
}
