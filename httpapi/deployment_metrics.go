package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	sse "github.com/r3labs/sse/v2"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	modelmetrics "github.com/kubefoundry/kubefoundry/internal/metrics"
)

// GetDeploymentMetrics is what a deployment's servers say of themselves, and what it means.
func (s *Server) GetDeploymentMetrics(w http.ResponseWriter, r *http.Request, name api.Name, p api.GetDeploymentMetricsParams) {
	f := &metricsFollower{server: s, request: r, identified: from(r), brief: p.Brief}
	document, err := s.deployment(r, name, p.Namespace, p.Runtime)
	if err == nil {
		if err = json.Unmarshal(document, &f.deployment); err != nil {
			err = fmt.Errorf("deployment %s: %w", name, err)
		}
	}
	var collection *modelmetrics.Collection
	if err == nil {
		f.object = "the metrics of deployment " + f.deployment.Namespace + "/" + f.deployment.Name
		collection, err = f.collect(r.Context())
	}
	var body []byte
	if err == nil {
		body, err = collection.JSON(p.Brief)
	}
	switch {
	case err != nil:
		s.fail(w, r, err)
	case p.Follow:
		f.serve(r.Context(), w, collection)
	default:
		writeBytes(w, http.StatusOK, body)
	}
}

// metricsFollower is one client that looks at a deployment's metrics, once or for longer.
type metricsFollower struct {
	server     *Server
	request    *http.Request
	deployment api.Deployment
	object     string // the metrics, for people to read
	brief      bool
	identified
	until time.Time // when the rights to what was collected last have to be asked for again

	// shown is what the viewer needs to reach for what was sent last, nil where that is nothing.
	shown atomic.Pointer[access]
}

// access is what a viewer may reach.
type access struct {
	entrance modelmetrics.Target
	pods     bool // of the namespace
}

// may tells what the viewer may reach, and until when that holds. It is called from any goroutine.
func (f *metricsFollower) may(ctx context.Context, entrance modelmetrics.Target) (a access, until time.Time, err error) {
	a.entrance = entrance
	rights := f.server.proxyRights
	err = f.asViewer(ctx, func(ctx context.Context, config *rest.Config) error {
		until1, allowed, err := rights.Services(ctx, config, entrance)
		if err != nil {
			return err
		}
		if !allowed {
			return api.Errorf(api.ErrorCodeForbidden,
				"cannot read %s: User %q cannot get resource \"services/proxy\" %q in API group \"\" in the namespace %q; the ClusterRole edit has this right",
				f.object, f.caller.Name(), entrance.Right(), entrance.Namespace)
		}
		until2, pods, err := rights.Pods(ctx, config, entrance.Namespace)
		a.pods, until = pods, earlier(until1, until2)
		return err
	})
	return a, until, err
}

func (f *metricsFollower) asViewer(ctx context.Context, do func(context.Context, *rest.Config) error) error {
	return f.server.asCaller(ctx, f.request, "read", f.object, do)
}

// earlier of two times; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// collect returns what was collected last, or collects.
func (f *metricsFollower) collect(ctx context.Context) (collection *modelmetrics.Collection, err error) {
	d := &f.deployment
	entrance, ok := modelmetrics.Entrance(d)
	if !ok {
		f.shown.Store(nil)
		f.until = time.Time{}
		now := time.Now()
		return &modelmetrics.Collection{Due: now.Add(f.server.collector.Interval), Answer: api.DeploymentMetrics{
			Timestamp: now.UTC(), Metrics: []api.MetricSample{}, Reason: api.MetricsUnavailableNoService,
			Error: "The deployment has no frontend that could be asked",
		}}, nil
	}
	pods, err := f.server.podsOf(f.request, d.Name, d.Namespace, d.Provider)
	if err != nil {
		return nil, err
	}
	a, until, err := f.may(ctx, entrance)
	if err != nil {
		return nil, err
	}
	err = f.asViewer(ctx, func(ctx context.Context, config *rest.Config) error {
		collection, err = f.server.collector.Get(ctx, modelmetrics.Plan(d, pods, a.pods), config)
		return err
	})
	if err == nil {
		f.shown.Store(&a)
		f.until = until
	}
	return collection, err
}

// serve sends every collection as an event.
func (f *metricsFollower) serve(ctx context.Context, w http.ResponseWriter, first *modelmetrics.Collection) {
	s, r := f.server, f.request
	if isHead(r) {
		streamHeader(w.Header())
		return
	}
	if s.closing.Err() != nil {
		s.fail(w, r, errClosing)
		return
	}
	if err := s.enter(f.caller.Name()); err != nil {
		s.metrics.rejected.Inc()
		s.fail(w, r, err)
		return
	}
	defer s.leave(f.caller.Name())
	// HTTP/2 resets a stream whose deadline passes, and a server that does not answer may take up the time of an event.
	deadline := s.stream.WriteDeadline + s.collector.Interval + callerTime
	stream := "metrics-" + strconv.FormatUint(s.opened.Add(1), 36)
	serveEvents(ctx, s.hurrying, s.sse, stream, deadline, w, func(c *connection) {
		defer func() { // nobody else would catch it, see serveStream
			if recovered := recover(); recovered != nil {
				s.logPanic(r.URL.Path, recovered)
			}
		}()
		f.run(c, first)
	})
}

func (f *metricsFollower) run(c *connection, collection *modelmetrics.Collection) {
	s := f.server
	c.writer.renew = func() bool { return f.renew(c) }
	expires := time.Now().Add(time.Duration((0.8 + 0.2*rand.Float64()) * float64(s.stream.MaxAge))) //nolint:gosec // jitter, not a secret
	retry := retryAfterCut
	for fresh := true; ; {
		if fresh {
			if !f.entitled(c) || !f.publish(c, collection, retry) {
				return
			}
			retry = 0
		}
		if !f.wait(c, collection.Due, expires) {
			return
		}
		next, err := f.collect(c.ctx)
		switch {
		case c.ctx.Err() != nil:
			return
		case s.closing.Err() != nil:
			f.bye(c, api.ByeEventReasonShutdown, retryAfterShutdown)
			return
		case err != nil:
			if !f.excuse(c, err) {
				return
			}
			collection, fresh = &modelmetrics.Collection{Due: time.Now().Add(s.collector.Interval)}, false
		default:
			fresh = next != collection
			collection = next
		}
	}
}

// wait until the next collection is due. False when the stream has ended.
func (f *metricsFollower) wait(c *connection, due, expires time.Time) bool {
	s := f.server
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	old := time.NewTimer(time.Until(expires))
	defer old.Stop()
	for {
		beat := s.pulse.wait()
		if f.gone() {
			f.bye(c, api.ByeEventReasonDeleted, 0)
			return false
		}
		select {
		case <-beat: // also when the server ends
			if s.closing.Err() != nil {
				f.bye(c, api.ByeEventReasonShutdown, retryAfterShutdown)
				return false
			}
		case <-timer.C:
			return true
		case <-old.C:
			f.bye(c, api.ByeEventReasonMaxAge, 0)
			return false
		case <-c.ctx.Done():
			return false
		}
	}
}

// gone tells whether the deployment was deleted, and takes in how it is now.
func (f *metricsFollower) gone() bool {
	d := &f.deployment
	document, ok, err := f.server.view.Get(api.DeploymentKey(d.Namespace, d.Provider, d.Name), f.grant.Sight)
	if err != nil { // nothing is known for the moment
		return false
	}
	var now api.Deployment
	if !ok || json.Unmarshal(document, &now) != nil || now.Resource.Uid != d.Resource.Uid {
		return true
	}
	f.deployment = now
	return false
}

func (f *metricsFollower) publish(c *connection, collection *modelmetrics.Collection, retry time.Duration) bool {
	body, err := collection.JSON(f.brief)
	if err != nil {
		return false
	}
	e := &sse.Event{Event: []byte("metrics"), Data: body}
	if retry > 0 {
		e.Retry = strconv.AppendInt(nil, retry.Milliseconds(), 10)
	}
	return c.publish(e)
}

// excuse tells why there is no collection. False where there will be none.
func (f *metricsFollower) excuse(c *connection, err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		e = api.Errorf(api.ErrorCodeInternal, "the server failed to collect; its log says why")
	}
	switch e.Code {
	case api.ErrorCodeForbidden:
		f.bye(c, api.ByeEventReasonRightsChanged, retryAfterRights)
		return false
	case api.ErrorCodeUnauthenticated:
		f.bye(c, api.ByeEventReasonTokenExpired, 0)
		return false
	case api.ErrorCodeNotFound:
		f.bye(c, api.ByeEventReasonDeleted, 0)
		return false
	}
	return f.entitled(c) && c.send("error", nil, api.ErrorBody{Error: *e}, 0)
}

// entitled tells whether the client may be shown what comes next. Whether they are still accepted, and what they see, is asked
// here; whether they may reach the deployment's servers, before each collection.
func (f *metricsFollower) entitled(c *connection) bool {
	if f.grant.Until.IsZero() || f.grant.Valid(time.Now()) {
		f.entitle(c)
		return true
	}
	grant, err := f.server.identity.Grant(c.ctx, f.caller)
	var refused *api.Error
	switch {
	case c.ctx.Err() != nil:
		return false
	case errors.As(err, &refused) && refused.Code == api.ErrorCodeUnauthenticated:
		f.bye(c, api.ByeEventReasonTokenExpired, 0)
		return false
	case err != nil:
		f.bye(c, api.ByeEventReasonRightsUnknown, retryAfterShutdown)
		return false
	case grant.Sight.Name() != f.grant.Sight.Name():
		f.bye(c, api.ByeEventReasonRightsChanged, retryAfterRights)
		return false
	}
	f.grant = grant
	f.entitle(c)
	return true
}

func (f *metricsFollower) entitle(c *connection) {
	if f.grant.Until.IsZero() {
		c.writer.entitle(f.grant.Until)
		return
	}
	c.writer.entitle(earlier(f.grant.Until, f.until))
}

// renew tells whether the client may still be shown what was sent for it. It is called from any goroutine.
func (f *metricsFollower) renew(c *connection) bool {
	grant, err := f.server.identity.Grant(c.ctx, f.caller)
	if err != nil || grant.Sight.Name() != from(f.request).grant.Sight.Name() {
		return false
	}
	until := grant.Until
	if shown := f.shown.Load(); shown != nil {
		now, rightsUntil, err := f.may(c.ctx, shown.entrance)
		if err != nil || shown.pods && !now.pods {
			return false
		}
		until = earlier(until, rightsUntil)
	}
	c.writer.entitle(until)
	return true
}

// bye ends the stream, and says when to come back.
func (f *metricsFollower) bye(c *connection, reason api.ByeEventReason, spread time.Duration) {
	retry := time.Second + time.Duration(rand.Float64()*float64(spread)) //nolint:gosec // jitter, not a secret
	c.farewell()
	if c.send("bye", nil, api.ByeEvent{Reason: reason, RetryMs: int(retry.Milliseconds())}, retry) {
		c.drain()
	}
}
