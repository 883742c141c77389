package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/httpapi"
	"github.com/kubefoundry/kubefoundry/view"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	listen              string
	kubeconfig, context string
	namespaces          []string
	namespace           string
	logLevel            string
	bus                 bus.Config
	retention           time.Duration
	leaderElect         bool
	maxStreams          int
	access              accessOptions
	limits              httpapi.Limits
	origins             []string
	automation          automationOptions
	huggingFace         huggingFaceOptions
	costs               costsOptions
	install             installOptions
}

func (o *serveOptions) bind(flags *pflag.FlagSet) {
	flags.String("config", "", "file with settings: YAML, named as these flags")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:3001", "address to listen on")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; KUBECONFIG, ~/.kube/config or the pod's ServiceAccount when left out")
	flags.StringVar(&o.context, "context", "", "context of the kubeconfig; the current one when left out")
	flags.StringSliceVar(&o.namespaces, "namespaces", nil, "watch only these namespaces, separated by commas; all when left out")
	flags.StringVar(&o.namespace, "namespace", "", "namespace of KubeFoundry's own objects; the pod's, or kubefoundry-system, when left out")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&o.bus.URL, "nats-url", "", "external NATS, as in nats://host:4222; a NATS server inside this process when left out")
	flags.StringVar(&o.bus.CredentialsFile, "nats-credentials", "", "NATS credentials file (external NATS)")
	flags.StringVar(&o.bus.CAFile, "nats-ca", "", "CA certificates of the NATS server, PEM (external NATS)")
	flags.StringVar(&o.bus.CertificateFile, "nats-certificate", "", "client certificate, PEM (external NATS)")
	flags.StringVar(&o.bus.KeyFile, "nats-key", "", "key of the client certificate, PEM (external NATS)")
	flags.StringVar(&o.bus.Bucket, "nats-bucket", "kubefoundry", "name of the KeyValue bucket")
	flags.IntVar(&o.bus.Replicas, "nats-replicas", 1, "replicas of the bucket (external NATS cluster)")
	flags.StringVar(&o.bus.StoreDir, "nats-store-dir", "", "keep the bus on disk, in this directory; in memory when left out")
	flags.DurationVar(&o.retention, "tombstone-retention", 10*time.Minute, "how long a client may be away and still be told only what changed")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "with an external NATS: publish only while holding the Lease kubefoundry in --namespace")
	flags.IntVar(&o.maxStreams, "max-streams", 10_000, "streams open at once, at most")
	flags.IntVar(&o.limits.Streams, "max-streams-per-caller", 200, "streams that one user may have open at once; 0 for no limit")
	flags.Float64Var(&o.limits.RequestRate, "request-rate", 50, "requests per second that one user may send in the long run; 0 for no limit")
	flags.IntVar(&o.limits.RequestBurst, "request-burst", 200, "requests that one user may send at once")
	flags.StringSliceVar(&o.origins, "cors-origins", nil, "origins whose pages may use this server from a browser, as in https://dashboard.example; none when left out")
	o.access.bind(flags)
	o.huggingFace.bind(flags)
	o.costs.bind(flags)
	o.automation.bind(flags)
	o.install.bind(flags)
}

func newServeCommand() *cobra.Command {
	var o serveOptions
	command := &cobra.Command{
		Use:   "serve",
		Short: "Watch the cluster and serve the API",
		Long: `Watch the cluster and serve the API.

Every flag can also be given as a variable of the environment (--nats-url as KUBEFOUNDRY_NATS_URL) or as a setting in the
file that --config names. A flag wins over the environment, the environment over the file.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fromEnvironmentAndFile(c); err != nil {
				return err
			}
			return o.run(c.Context())
		},
	}
	o.bind(command.Flags())
	return command
}

// How long a shutdown may take: streams are told, then requests may end, then everything else stops.
const shutdownTime = 10 * time.Second

func (o *serveOptions) run(ctx context.Context) error {
	log, err := newLogger(o.logLevel)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	config, clusterName, err := clusterAccess(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	defer listener.Close()
	log.Info("starting", zap.String("version", buildVersion().Version), zap.String("cluster", clusterName), zap.String("api-server", config.Host))
	if err := o.access.check(listener.Addr()); err != nil {
		return err
	}
	certificate, err := o.access.certificate(ctx, config, ownNamespace(o.namespace), log)
	if err != nil {
		return err
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o.bus.TombstoneTTL = 2 * o.retention // the view may hold a reader to half of what the bucket remembers
	o.bus.Source = "/kubefoundry/" + clusterName
	// Everything below outlives the signal, and ends in order when serving is over.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if o.bus.Listen, err = o.automation.listen(certificate, o.access.authenticates()); err != nil {
		return err
	}
	b, err := bus.Open(ctx, o.bus, log.Named("bus"), registry)
	if err != nil {
		return err
	}
	defer b.Close()
	documents := view.New(view.Options{Retention: o.retention})
	identity, err := o.access.identity(config, clusterName, ownNamespace(o.namespace), documents, log)
	if err != nil {
		return err
	}
	if !o.access.authenticates() { // one user, who may do as they like with their own machine
		o.limits = httpapi.Limits{}
	}
	runner, installer, err := o.install.open(config, ownNamespace(o.namespace), log)
	if err != nil {
		return err
	}
	hub, err := o.huggingFace.open()
	if err != nil {
		return err
	}
	defer hub.Close()
	prices, err := o.costs.prices()
	if err != nil {
		return err
	}
	defer prices.Close()
	stored, err := openSettings(config, ownNamespace(o.namespace), log)
	if err != nil {
		return err
	}
	server, err := httpapi.New(httpapi.Options{
		View: documents, Identity: identity, Version: buildVersion(), ClusterName: clusterName, Namespace: ownNamespace(o.namespace),
		Logger: log.Named("http"), Registry: registry, Stream: httpapi.StreamOptions{Max: o.maxStreams},
		Operations: runner, Installer: installer, Plans: installer, MinGPUs: minGPUs,
		Prices: prices, Configurator: o.costs.configurator(),
		HuggingFace: hub, Redirects: o.huggingFace.redirects, Settings: stored,
		Limits: o.limits, Browser: httpapi.BrowserOptions{Origins: o.origins, Hosts: o.access.hosts(listener.Addr())},
	})
	if err != nil {
		return err
	}

	programs, err := o.automation.open(b, documents, identity, config, log, registry)
	if err != nil {
		return err
	}

	group, failed := errgroup.WithContext(background)
	group.Go(func() error { return b.Follow(failed, documents) })
	group.Go(func() error { return stored.Run(failed) })
	group.Go(func() error { return runner.Run(failed) })
	p := publishing{bus: b, config: config, namespaces: o.namespaces, namespace: ownNamespace(o.namespace), log: log, registry: registry}
	group.Go(func() error {
		if o.bus.URL != "" && o.leaderElect {
			return p.elected(failed, ownNamespace(o.namespace))
		}
		return p.run(failed)
	})
	if runs, ok := identity.(interface {
		Run(ctx context.Context) error
	}); ok {
		group.Go(func() error { return runs.Run(failed) })
	}
	if programs != nil {
		group.Go(func() error { return programs.Run(failed) })
	}
	web := httpapi.HTTPServer(server.Handler(), log.Named("http"))
	serving, scheme := web.Serve, "http"
	if certificate != nil {
		web.TLSConfig, scheme = certificate.TLSConfig(), "https"
		serving = func(l net.Listener) error { return web.ServeTLS(l, "", "") }
		group.Go(func() error { return certificate.Run(failed) })
	}
	group.Go(func() error {
		if err := serving(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http: %w", err)
		}
		return nil
	})
	log.Info("listening", zap.String("url", scheme+"://"+listener.Addr().String()), zap.Bool("authentication", o.access.authenticates()))

	select {
	case <-ctx.Done():
		log.Info("shutting down")
	case <-failed.Done():
	}
	// Operations before all, for requests wait for them, and the last that streams tell is how they ended.
	runner.Close()
	// Streams first: http.Server.Shutdown waits for them, and would tell them nothing. Then the sources, then the bus.
	server.Close()
	bound, cancel := context.WithTimeout(background, shutdownTime)
	defer cancel()
	if err := web.Shutdown(bound); err != nil {
		_ = web.Close()
	}
	stop()
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
