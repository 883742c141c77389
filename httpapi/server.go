package httpapi

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	sse "github.com/r3labs/sse/v2"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/aiconfigurator"
	"github.com/kubefoundry/kubefoundry/internal/chat"
	"github.com/kubefoundry/kubefoundry/internal/costs"
	"github.com/kubefoundry/kubefoundry/internal/huggingface"
	"github.com/kubefoundry/kubefoundry/internal/install"
	modelmetrics "github.com/kubefoundry/kubefoundry/internal/metrics"
	"github.com/kubefoundry/kubefoundry/internal/operations"
	"github.com/kubefoundry/kubefoundry/internal/settings"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/view"
)

// Options of a Server.
type Options struct {
	View     *view.View
	Identity Identity
	Version  api.Version
	// ClusterName is the context of the kubeconfig, Namespace where KubeFoundry keeps its own settings.
	ClusterName, Namespace string
	Logger                 *zap.Logger
	Registry               *prometheus.Registry
	Stream                 StreamOptions
	Limits                 Limits
	Browser                BrowserOptions
	// Operations and Installer may be nil: then there are no installations.
	Operations *operations.Runner
	Installer  *install.Installer
	// HuggingFace may be nil: then nobody is asked.
	HuggingFace *huggingface.Client
	// Redirects are origins, beside those of Browser, to whose pages a login at Hugging Face may lead back.
	Redirects []string
	// Prices may be nil: then only the table of list prices answers.
	Prices *costs.Prices
	// Configurator may be nil: then suggestions are worked out from sizes.
	Configurator *aiconfigurator.Tool
	// Settings may be nil: then none are kept.
	Settings *settings.Store
	// Plans may be nil: then nothing is told of how runtimes are installed.
	Plans Plans
	// Runtimes that can be deployed with; nil means all.
	Runtimes []runtimes.Runtime
	// Chat bounds conversations with models; the zero value is for everybody but tests.
	Chat chat.Limits
	// MinGPUs tells how many GPUs a model needs for a replica, if that is known. May be nil.
	MinGPUs func(modelID string) (gpus int, ok bool)
}

// Server answers requests. It implements the generated ServerInterface.
type Server struct {
	view         *view.View
	identity     Identity
	limits       *limits
	browser      BrowserOptions
	version      api.Version
	clusterName  string
	namespace    string
	log, audit   *zap.Logger
	registry     *prometheus.Registry
	metrics      *metrics
	document     *openapi3.T
	openapiJSON  []byte
	bodies       *bodies
	operations   *operations.Runner
	installer    *install.Installer
	huggingFace  *huggingface.Client
	redirects    []string
	settings     *settings.Store
	plans        Plans
	prices       *costs.Prices
	configurator *aiconfigurator.Tool
	builders     []runtimes.Runtime
	minGPUs      func(modelID string) (int, bool)
	chatLimits   chat.Limits

	collector   *modelmetrics.Collector // of deployments' metrics
	proxyRights *modelmetrics.Rights

	stream  StreamOptions
	sse     *sse.Server
	frames  *frames
	pulse   *pulse
	streams chan struct{} // one token for each open stream
	// logReads has one token for each log that is being read.
	logReads chan struct{}
	opened   atomic.Uint64 // streams so far, which names them
	buffers  sync.Pool     // of events that are being written

	closing  context.Context // done when streams have to end
	close    context.CancelFunc
	hurrying context.Context // done when they have no more time to
	hurry    context.CancelFunc
	closed   sync.Once
	running  sync.WaitGroup
}

// New makes a Server and starts its pulse. Close ends it.
func New(o Options) (*Server, error) {
	document, openapiJSON, err := loadDocument()
	if err != nil {
		return nil, err
	}
	browser, err := o.Browser.checked()
	if err != nil {
		return nil, err
	}
	o.Stream = o.Stream.withDefaults()
	s := &Server{
		view: o.View, identity: o.Identity, limits: newLimits(o.Limits), browser: browser, version: o.Version, clusterName: o.ClusterName, namespace: o.Namespace,
		log: o.Logger, audit: o.Logger.Named("audit"), registry: o.Registry, metrics: newMetrics(o.Registry, o.View),
		huggingFace: o.HuggingFace, redirects: o.Redirects, settings: o.Settings, plans: o.Plans,
		document: document, openapiJSON: openapiJSON, builders: o.Runtimes, minGPUs: o.MinGPUs,
		operations: o.Operations, installer: o.Installer,
		bodies: newBodies(), stream: o.Stream, sse: newSSE(), frames: newFrames(o.View), streams: make(chan struct{}, o.Stream.Max),
		logReads: make(chan struct{}, 8), chatLimits: o.Chat,
	}
	if s.prices = o.Prices; s.prices == nil {
		s.prices, _ = costs.New(costs.Options{}) // nobody to ask, nothing to fail
	}
	if s.configurator = o.Configurator; s.configurator == nil {
		s.configurator = aiconfigurator.New(aiconfigurator.Options{Path: aiconfigurator.NoCommand})
	}
	if s.builders == nil {
		s.builders = registry.All()
	}
	s.closing, s.close = context.WithCancel(context.Background())
	s.collector, s.proxyRights = modelmetrics.New(s.closing), modelmetrics.NewRights()
	s.hurrying, s.hurry = context.WithCancel(context.Background())
	s.pulse = newPulse(s.stream.Coalesce, s.frames.forget)
	s.running.Go(func() { s.pulse.run(s.closing, o.View) })
	return s, nil
}

// Close tells every stream `bye` and returns when all have ended. Call it before http.Server.Shutdown, which waits for
// streams without telling them anything. It may be called again.
func (s *Server) Close() {
	s.closed.Do(func() {
		s.close()
		s.running.Wait()
		defer time.AfterFunc(byeTime, s.hurry).Stop()
		defer s.hurry()
		for range cap(s.streams) { // a stream holds its token until nothing is left of it
			s.streams <- struct{}{}
		}
	})
}

// byeTime is how long clients that are slow to read may take with their last events when the server ends.
const byeTime = 2 * time.Second

// Handler is the root of the server.
func (s *Server) Handler() http.Handler {
	router := mux.NewRouter().SkipClean(true) // a path with dots or two slashes is not found, rather than redirected
	router.NotFoundHandler = http.HandlerFunc(s.notFound)
	router.MethodNotAllowedHandler = http.HandlerFunc(s.methodNotAllowed)
	router.Use(s.observe, keepBearer, s.identify, s.validate)
	HandlerWithOptions(s, GorillaServerOptions{BaseRouter: router, ErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, err error) {
		s.fail(w, r, unbound(err))
	}})
	return s.guard(crossOrigin(s.browser.Origins, aggregation.New(s.version.Version).Handler(modelPaths(router))))
}

// HTTPServer is an http.Server with the limits that a server of streams can have: on headers and idle connections, not on
// the time a response takes. Streams have a deadline of their own for each write.
func HTTPServer(h http.Handler, log *zap.Logger) *http.Server {
	errorLog, _ := zap.NewStdLogAt(log, zap.DebugLevel) // TLS and protocol errors of clients
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          errorLog,
	}
}
