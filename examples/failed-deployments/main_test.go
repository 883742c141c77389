package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/automation"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/view"
)

// TestFailuresAreReportedOnce runs the example against a server, whose API server accepts every token.
func TestFailuresAreReportedOnce(t *testing.T) {
	publisher, address := serve(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(tokenFile, []byte("robot\n"), 0o600))
	fail := func(i int, phase string) {
		key := api.DeploymentKey("ml", "kaito", fmt.Sprintf("llama-%d", i))
		publisher.Emit(api.Event{
			Key: key, Change: api.EventPhaseChanged, Time: time.Now(), Message: "Deploying -> " + phase,
			Document: fmt.Appendf(nil, `{"id":%q,"phase":%q,"message":"no GPU"}`, key.ID, phase),
		})
	}
	var mu sync.Mutex
	var texts []string
	failing := true
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body struct{ Text string }
		if failing || json.NewDecoder(r.Body).Decode(&body) != nil {
			failing = false
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		texts = append(texts, body.Text)
	}))
	t.Cleanup(webhook.Close)
	heard := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(texts) >= n }
	}
	session := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- run(ctx, address, "", tokenFile, post(webhook.URL)) }()
		return func() {
			cancel()
			require.NoError(t, <-done)
		}
	}

	fail(1, "Failed") // before it starts
	fail(2, "Running")
	stop := session()
	require.Eventually(t, heard(1), 40*time.Second, 10*time.Millisecond, "at the second try")
	fail(3, "Failed")
	require.Eventually(t, heard(2), 20*time.Second, 10*time.Millisecond)
	stop()
	fail(4, "Failed") // while it is away
	stop = session()
	require.Eventually(t, heard(3), 40*time.Second, 10*time.Millisecond)
	stop()
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{
		"ml/kaito/llama-1: Deploying -> Failed (no GPU)",
		"ml/kaito/llama-3: Deploying -> Failed (no GPU)",
		"ml/kaito/llama-4: Deploying -> Failed (no GPU)",
	}, texts)
}

func serve(t *testing.T) (publisher *bus.Publisher, address string) {
	t.Helper()
	kubernetesAPI := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		review.Status = authenticationv1.TokenReviewStatus{
			Authenticated: true, User: authenticationv1.UserInfo{Username: review.Spec.Token}, Audiences: review.Spec.Audiences,
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(kubernetesAPI.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: kubernetesAPI.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	require.NoError(t, err)
	tokens, err := auth.NewTokens(client, automation.Audience)
	require.NoError(t, err)
	b, err := bus.Open(context.Background(), bus.Config{Listen: bus.Listen{Address: "127.0.0.1:0"}}, zap.NewNop(), nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	v := view.New(view.Options{})
	a, err := automation.New(automation.Options{
		Bus: b, View: v, Tokens: tokens, Logger: zap.NewNop(),
		Rights: automation.RightsFunc(func(context.Context, *auth.Caller) (auth.Grant, error) {
			return auth.Grant{Sight: api.Everything(), Until: time.Now().Add(auth.Validity), Cells: v.CellsVersion()}, nil
		}),
	})
	require.NoError(t, err)
	publisher = b.Publisher()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	for _, run := range []func(context.Context) error{publisher.Run, a.Run, func(ctx context.Context) error { return b.Follow(ctx, v) }} {
		group.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	return publisher, "nats://" + b.ListenAddress().String()
}
