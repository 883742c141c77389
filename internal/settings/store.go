package settings

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kubefoundry/kubefoundry/api"
)

// Name of the ConfigMap, and the Key under which it holds the settings as JSON.
const (
	Name = "kubefoundry-config"
	Key  = "config.json"
)

// Options of a Store.
type Options struct {
	// Config is the server's own access. It needs the rights to get, list and watch the ConfigMap.
	Config    *rest.Config
	Namespace string
	// Providers are the ids that activeProviderId may have.
	Providers []string
	Logger    *zap.Logger
}

// Store knows the settings as they are now.
type Store struct {
	Options
	informer cache.SharedIndexInformer

	mu      sync.Mutex
	broken  error         // why the watch does not run
	changed chan struct{} // closed at the next change
}

// Current is the settings, as far as they are known.
type Current struct {
	Config          api.SettingsConfig
	ResourceVersion string // empty where nothing is stored
	State           api.SettingsState
}

// New makes a Store.
func New(o Options) (*Store, error) {
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	s := &Store{Options: o, changed: make(chan struct{})}
	maps, only := client.CoreV1().ConfigMaps(o.Namespace), fields.OneTermEqualSelector(metav1.ObjectNameField, Name).String()
	s.informer = cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = only
			list, err := maps.List(ctx, options)
			return list, s.note(err)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = only
			w, err := maps.Watch(ctx, options)
			return w, s.note(err)
		},
	}, &corev1.ConfigMap{}, 0, cache.Indexers{})
	if err := s.informer.SetTransform(func(o any) (any, error) {
		if m, ok := o.(*corev1.ConfigMap); ok {
			m.ManagedFields = nil
		}
		return o, nil
	}); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	wake := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.changed)
		s.changed = make(chan struct{})
	}
	if _, err := s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
	}); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	// What goes wrong is noted above, once for each time that it begins.
	if err := s.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return s, nil
}

// Run watches until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	s.informer.RunWithContext(ctx)
	return ctx.Err()
}

// note remembers whether the settings can be read.
func (s *Store) note(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) { // the reflector starts over by itself
		return err
	}
	if err != nil && s.broken == nil {
		s.Logger.Warn("the settings cannot be read", zap.String("configmap", s.Namespace+"/"+Name), zap.Error(err))
	}
	s.broken = err
	return err
}

// Get is the settings as they are now.
func (s *Store) Get() Current {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	var c Current
	c.State.Synced = s.informer.HasSynced() && broken == nil
	switch {
	case apierrors.IsForbidden(broken):
		c.State.Error = fmt.Sprintf("the server may not watch the ConfigMap %s/%s; its Helm chart grants that", s.Namespace, Name)
	case broken != nil:
		c.State.Error = "the Kubernetes API does not answer; settings are as they were last known"
	case !c.State.Synced:
		c.State.Error = "the settings are still being read; try again in a few seconds"
	}
	for _, o := range s.informer.GetStore().List() {
		m, ok := o.(*corev1.ConfigMap)
		if !ok || m.Name != Name {
			continue
		}
		c.ResourceVersion = m.ResourceVersion
		stored, err := read(m)
		if err != nil {
			c.State = api.SettingsState{Error: err.Error()}
			break
		}
		var problem string
		if c.Config, problem = stored.known(s.Providers); problem != "" && c.State.Error == "" {
			c.State.Error = problem
		}
	}
	return c
}

// Await waits until the Store has seen a version or a later one, for a second at most: whoever changes something and then
// reads gets what they wrote.
func (s *Store) Await(ctx context.Context, version string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if !before(s.Get().ResourceVersion, version) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// before orders versions, which are numbers in all that serves the Kubernetes API today.
func before(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX != nil || errY != nil {
		return a != b
	}
	return x < y
}
