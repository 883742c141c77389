package watch

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubefoundry/kubefoundry/api"
)

var (
	errRefused   = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	errForbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
)

// answers gives one error after another, nil being success.
func answers(errs ...error) func() error {
	return func() error {
		err := errs[0]
		if len(errs) > 1 {
			errs = errs[1:]
		}
		return err
	}
}

func testCaller(next func() error) (*caller, *watch.FakeWatcher) {
	fake := watch.NewFakeWithChanSize(4, false)
	link := newConnection("https://api", func(context.Context) (string, error) { return "v1.37.2", nil }, zap.NewNop(), func() {})
	return &caller{
		target: target{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "pods"}, host: "https://api"},
		list: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &corev1.PodList{}, next()
		},
		watch:   func(context.Context, metav1.ListOptions) (watch.Interface, error) { return fake, next() },
		status:  newStatus(api.Source{Resource: "pods"}, zap.NewNop(), func() {}),
		link:    link,
		metrics: newMetrics(func() int { return 0 }),
	}, fake
}

func TestAListIsRepeatedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := testCaller(answers(errRefused, errForbidden, errForbidden, nil))
		began := time.Now()
		_, err := c.List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.Less(t, time.Since(began), 10*time.Second)
		require.Equal(t, api.SourceStateStarting, c.status.document().State)
	})
}

func TestPausesStayBelowHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := testCaller(answers(nil))
		for attempt := range 100 {
			began := time.Now()
			require.True(t, c.pause(t.Context(), attempt))
			require.LessOrEqual(t, time.Since(began), 30*time.Second)
		}
	})
}

func TestAPauseEndsWhenTheAPIServerIsBackOrTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := testCaller(answers(nil))
		began := time.Now()
		go func() { time.Sleep(time.Second); c.link.ask(t.Context()) }()
		require.True(t, c.pause(t.Context(), 100))
		require.Equal(t, time.Second, time.Since(began))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.False(t, c.pause(ctx, 100))
	})
}

func TestAnOutdatedVersionIsTheReflectorsBusiness(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old")
	c, _ := testCaller(answers(expired))
	_, err := c.List(t.Context(), metav1.ListOptions{})
	require.ErrorIs(t, err, expired)
	_, err = c.Watch(t.Context(), metav1.ListOptions{})
	require.ErrorIs(t, err, expired)
	require.Empty(t, c.status.document().Error)
}

func TestARefusedStreamOfAListLeadsToAList(t *testing.T) {
	c, _ := testCaller(answers(errForbidden))
	streaming := true
	_, err := c.Watch(t.Context(), metav1.ListOptions{SendInitialEvents: &streaming})
	require.ErrorIs(t, err, errForbidden)
	require.Empty(t, c.status.document().Error, "the list will tell")
	_, err = c.Watch(t.Context(), metav1.ListOptions{})
	require.ErrorIs(t, err, errForbidden)
	require.NotEmpty(t, c.status.document().Error)
}

func TestAWatchIsObserved(t *testing.T) {
	c, fake := testCaller(answers(nil))
	c.status.filled()
	streaming := true
	w, err := c.Watch(t.Context(), metav1.ListOptions{SendInitialEvents: &streaming})
	require.NoError(t, err)
	internal := apierrors.NewInternalError(errors.New("etcd"))
	fake.Error(&internal.ErrStatus)
	require.Equal(t, watch.Error, (<-w.ResultChan()).Type)
	require.Equal(t, api.SourceStateStale, c.status.document().State)
	fake.Action(watch.Bookmark, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}})
	require.Equal(t, watch.Bookmark, (<-w.ResultChan()).Type)
	require.Equal(t, api.SourceStateSynced, c.status.document().State)
	w.Stop()
	w.Stop()
	for range w.ResultChan() {
	}
}
