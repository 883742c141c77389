package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/logs"
	"github.com/kubefoundry/kubefoundry/view"
)

const (
	logsLook   = time.Second            // between two looks at which pods there are
	logsGather = 50 * time.Millisecond  // for which lines of several pods are waited for, to be put into one order
	logsEvent  = 64 << 10               // bytes of lines in an event, about
	firstRetry = 500 * time.Millisecond // before a log is asked for again that has ended or has not begun
	lastRetry  = 5 * time.Second        // the same, when it has been asked for often
)

// followLogs sends the lines of a deployment's pods as they are written.
//
// One goroutine for each pod reads its log, and stands still until the pump has taken what it read; the pump stands still until
// the client has taken what it sent. So a slow client stops the reading, up to the node that the log is on.
func (s *Server) followLogs(w http.ResponseWriter, r *http.Request, name string, p api.GetDeploymentLogsParams) {
	follow := &logPump{server: s, request: r, identified: from(r), params: p, following: map[string]*followed{}, batches: make(chan logBatch), failed: make(chan error, 1)}
	document, err := s.deployment(r, name, p.Namespace, p.Runtime)
	if err == nil {
		if err = json.Unmarshal(document, &follow.deployment); err != nil {
			err = fmt.Errorf("deployment %s: %w", name, err)
		}
	}
	if err == nil {
		err = follow.may(r.Context())
	}
	var pods []api.Pod
	if err == nil {
		pods, err = follow.pods()
	}
	if err == nil && p.PodName != "" && podMeant(pods, p.PodName) == nil {
		err = notItsPod(name, p.PodName)
	}
	if err == nil && s.closing.Err() != nil {
		err = errClosing
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if isHead(r) {
		streamHeader(w.Header())
		return
	}
	if err := s.enter(follow.caller.Name()); err != nil {
		s.metrics.rejected.Inc()
		s.fail(w, r, err)
		return
	}
	defer s.leave(follow.caller.Name())
	stream := "logs-" + strconv.FormatUint(s.opened.Add(1), 36)
	serveEvents(r.Context(), s.hurrying, s.sse, stream, s.stream.WriteDeadline, w, func(c *connection) { //nolint:contextcheck // c has it
		defer func() { // nobody else would catch it, see serveStream
			if recovered := recover(); recovered != nil {
				s.logPanic(r.URL.Path, recovered)
			}
		}()
		follow.run(c)
	})
}

// logPump sends the lines of logs to one client. Only run and what it calls touch its fields; may and renew do not write any.
type logPump struct {
	server     *Server
	request    *http.Request
	params     api.GetDeploymentLogsParams
	deployment struct {
		ID        string `json:"id"`
		Namespace string `json:"namespace"`
	}
	identified

	following map[string]*followed // by the name of the pod
	batches   chan logBatch        // from the readers
	failed    chan error           // the first that no other try can help
	reading   sync.WaitGroup
}

// followed is a pod whose log is read.
type followed struct {
	stop context.CancelFunc
	born time.Time
}

// logBatch is what a reader has, all of one pod: lines, or news of the log itself.
type logBatch struct {
	pod, container string
	lines          []logs.Line
	state          api.LogPodEventState
	message        string
}

func (p *logPump) run(c *connection) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer p.reading.Wait()
	defer cancel()
	s := p.server
	c.writer.renew = func() bool { return p.renew(ctx, c) }
	c.writer.entitle(p.grant.Until)
	if !c.send("start", nil, api.LogStartEvent{Deployment: p.deployment.ID}, retryAfterCut) {
		return
	}
	look, alive := time.NewTicker(logsLook), time.NewTicker(s.stream.Bookmark)
	defer look.Stop()
	defer alive.Stop()
	expires := time.NewTimer(time.Duration((0.8 + 0.2*rand.Float64()) * float64(s.stream.MaxAge))) //nolint:gosec // jitter, not a secret
	defer expires.Stop()
	sent := p.look(ctx, c)
	for sent {
		select {
		case batch := <-p.batches:
			sent = p.entitled(ctx, c) && p.deliver(ctx, c, batch)
		case <-look.C:
			sent = p.entitled(ctx, c) && p.look(ctx, c)
		case now := <-alive.C:
			sent = p.entitled(ctx, c) && c.send("alive", nil, api.LogAliveEvent{Time: now.UTC()}, 0)
		case err := <-p.failed:
			reason := api.ByeEventReasonRightsChanged
			if !apierrors.IsForbidden(err) {
				reason = api.ByeEventReasonTokenExpired
			}
			p.bye(c, reason, 0)
			return
		case <-expires.C:
			p.bye(c, api.ByeEventReasonMaxAge, 0)
			return
		case <-s.closing.Done():
			p.bye(c, api.ByeEventReasonShutdown, retryAfterShutdown)
			return
		case <-ctx.Done():
			return
		}
	}
}

// pods are those of the deployment that the caller may see.
func (p *logPump) pods() ([]api.Pod, error) {
	page, err := p.server.view.List(view.Query{Kind: api.KindPods, Sight: p.grant.Sight, Deployment: p.deployment.ID})
	if err != nil {
		return nil, err
	}
	if unknown(page) {
		return nil, notSynced(api.KindPods, page.State)
	}
	pods := make([]api.Pod, len(page.Documents))
	for i, document := range page.Documents {
		if err := json.Unmarshal(document, &pods[i]); err != nil {
			return nil, fmt.Errorf("pods of deployment %s: %w", p.deployment.ID, err)
		}
	}
	return pods, nil
}

// meant are the pods to follow: all, the one that was named, or the one that is followed already as long as it is there.
func (p *logPump) meant(pods []api.Pod) []api.Pod {
	if p.params.AllPods {
		pods = unreadyFirst(pods)
		return pods[:min(len(pods), maxLogPods)]
	}
	name := p.params.PodName
	if name == "" {
		for _, pod := range pods {
			if p.following[pod.Name] != nil {
				name = pod.Name
			}
		}
	}
	if len(pods) == 0 {
		return nil
	}
	if pod := podMeant(pods, name); pod != nil {
		return []api.Pod{*pod}
	}
	return nil
}

// look begins to read the logs of pods that have come, and ends it for those that are gone. False when the client is gone.
func (p *logPump) look(ctx context.Context, c *connection) bool {
	pods, err := p.pods()
	if err != nil { // not known for the moment: what is followed goes on
		return true
	}
	meant := p.meant(pods)
	if p.params.AllPods { // one that has become ready does not make room for another
		for _, pod := range pods {
			if p.following[pod.Name] != nil && !slices.ContainsFunc(meant, func(m api.Pod) bool { return m.Name == pod.Name }) {
				meant = append(meant, pod)
			}
		}
	}
	for name, one := range p.following {
		if !slices.ContainsFunc(meant, func(m api.Pod) bool { return m.Name == name && m.CreatedAt.Equal(one.born) }) {
			one.stop()
			delete(p.following, name)
			if !c.send("pod", nil, api.LogPodEvent{Pod: name, State: api.LogPodEventStateLeft}, 0) {
				return false
			}
		}
	}
	for _, pod := range meant {
		if p.following[pod.Name] != nil || len(p.following) >= maxLogPods {
			continue
		}
		reading, stop := context.WithCancel(ctx)
		p.following[pod.Name] = &followed{stop, pod.CreatedAt}
		p.reading.Go(func() {
			defer stop()
			p.read(reading, pod)
		})
	}
	return true
}

// deliver sends a batch, with those of other pods that come at the same time.
func (p *logPump) deliver(ctx context.Context, c *connection, first logBatch) bool {
	var sources []logBatch
	var lines [][]logs.Line
	size := 0
	add := func(b logBatch) {
		if p.following[b.pod] == nil { // it left meanwhile
			return
		}
		for _, line := range b.lines {
			size += len(line.Text) + len(b.pod) + 64
		}
		if i := slices.IndexFunc(sources, func(s logBatch) bool { return s.pod == b.pod }); i >= 0 {
			lines[i] = append(lines[i], b.lines...)
			return
		}
		sources, lines = append(sources, b), append(lines, b.lines)
	}
	var news *logBatch // comes after the lines before it
	gather := time.NewTimer(logsGather)
	defer gather.Stop()
	for next, more := first, true; more; {
		if next.state != "" {
			news = &next
			break
		}
		add(next)
		if size >= logsEvent {
			break
		}
		select {
		case next = <-p.batches:
		case <-gather.C:
			more = false
		case <-ctx.Done():
			return false
		}
	}
	if size > 0 {
		merged := logs.Merge(lines)
		event := api.LogLinesEvent{Lines: make([]api.LogLine, 0, len(merged))}
		for _, line := range merged {
			event.Lines = append(event.Lines, api.LogLine{Pod: sources[line.Log].pod, Container: sources[line.Log].container, Time: line.Time, Text: line.Text, Cut: line.Cut})
		}
		if !c.send("lines", nil, event, 0) {
			return false
		}
	}
	if news == nil || p.following[news.pod] == nil {
		return true
	}
	return c.send("pod", nil, api.LogPodEvent{Pod: news.pod, Container: news.container, State: news.state, Message: news.message}, 0)
}

// read follows one pod's log until ctx ends: through restarts of its container, and before it has begun. It runs in a goroutine of
// its own.
func (p *logPump) read(ctx context.Context, pod api.Pod) {
	batch := logBatch{pod: pod.Name, container: p.params.Container}
	give := func(lines []logs.Line, state api.LogPodEventState, message string) error {
		b := batch
		b.lines, b.state, b.message = lines, state, message
		select {
		case p.batches <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	client, err := p.client()
	if err != nil {
		return
	}
	last := logs.Request{Namespace: pod.Namespace, Pod: pod.Name, Lines: p.params.TailLines, Since: p.params.Since}
	told, pause := "", firstRetry
	for ctx.Err() == nil {
		if batch.container == "" {
			batch.container, err = containerMeant(ctx, client, &pod)
		}
		begun := false
		if err == nil {
			last.Container = batch.container
			err = logs.Follow(ctx, client, last, func(lines []logs.Line) error {
				if !begun {
					begun, told, pause = true, "", firstRetry
					if err := give(nil, api.LogPodEventStateFollowing, ""); err != nil {
						return err
					}
				}
				if at := lines[len(lines)-1].Time; at.After(last.Since) { // where to go on
					last.Since, last.Lines = at, 0
				}
				return give(lines, "", "")
			})
		}
		switch {
		case ctx.Err() != nil:
			return
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			select {
			case p.failed <- err:
			default:
			}
			return
		}
		message := "The container has ended"
		if err != nil {
			if _, message = explain(err); isNotYet(err) {
				message = words(err)
			}
		}
		if message != told {
			told = message
			if give(nil, api.LogPodEventStateWaiting, message) != nil {
				return
			}
		}
		err = nil
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastRetry)
	}
}

// client reads in the caller's name. Logs that are followed have connections of their own: with HTTP/2 each could have 4 MiB on
// their way that nobody takes, and they would use up the streams of a connection that others share.
func (p *logPump) client() (typed.PodsGetter, error) {
	config := p.server.identity.Config(p.caller)
	config.NextProtos = []string{"http/1.1"}
	config.QPS, config.Timeout = -1, 0
	config.WarningHandlerWithContext = rest.NoWarnings{}
	client, err := typed.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return client, nil
}

// may asks whether the caller may read the logs that are meant.
func (p *logPump) may(ctx context.Context) error {
	object := "logs of deployment " + p.deployment.ID
	return p.server.asCaller(ctx, p.request, "follow", object, func(ctx context.Context, config *rest.Config) error {
		client, err := authorization.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		right := authorizationv1.ResourceAttributes{Namespace: p.deployment.Namespace, Verb: "get", Resource: "pods", Subresource: "log", Name: p.params.PodName}
		review, err := client.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right},
		}, metav1.CreateOptions{})
		if err == nil && !review.Status.Allowed {
			return api.Errorf(api.ErrorCodeForbidden, "cannot follow %s: this needs the right to get pods/log in the namespace %s", object, p.deployment.Namespace)
		}
		return err
	})
}

// entitled tells whether the client may be sent what comes next. When the answer is too old to be believed, it is asked for again:
// what the caller may see, and whether they may still read logs, which open connections to the Kubernetes API do not notice.
func (p *logPump) entitled(ctx context.Context, c *connection) bool {
	if p.grant.Until.IsZero() || p.grant.Valid(time.Now()) {
		return true
	}
	grant, err := p.server.identity.Grant(ctx, p.caller)
	if err == nil && grant.Sight.Name() == p.grant.Sight.Name() {
		err = p.may(ctx)
	}
	refused, _ := errors.AsType[*api.Error](err)
	switch {
	case ctx.Err() != nil:
		return false
	case refused != nil && refused.Code == api.ErrorCodeUnauthenticated:
		p.bye(c, api.ByeEventReasonTokenExpired, 0)
		return false
	case refused != nil && refused.Code == api.ErrorCodeForbidden, err == nil && grant.Sight.Name() != p.grant.Sight.Name():
		p.bye(c, api.ByeEventReasonRightsChanged, retryAfterRights)
		return false
	case err != nil:
		p.bye(c, api.ByeEventReasonRightsUnknown, retryAfterShutdown)
		return false
	}
	p.grant = grant
	c.writer.entitle(grant.Until)
	return true
}

// renew tells whether the client may still be shown what was sent for it. It is called from any goroutine.
func (p *logPump) renew(ctx context.Context, c *connection) bool {
	grant, err := p.server.identity.Grant(ctx, p.caller)
	if err != nil || grant.Sight.Name() != from(p.request).grant.Sight.Name() || p.may(ctx) != nil {
		return false
	}
	c.writer.entitle(grant.Until)
	return true
}

func (p *logPump) bye(c *connection, reason api.ByeEventReason, spread time.Duration) {
	retry := time.Second + time.Duration(rand.Float64()*float64(spread)) //nolint:gosec // jitter, not a secret
	c.farewell()
	if c.send("bye", nil, api.ByeEvent{Reason: reason, RetryMs: int(retry.Milliseconds())}, retry) {
		c.drain()
	}
}
