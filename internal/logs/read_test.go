package logs

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// against is a client of an API that answers everything in one way.
func against(t *testing.T, answer http.HandlerFunc) typed.PodsGetter {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := typed.NewForConfigAndClient(&rest.Config{Host: server.URL}, &http.Client{Transport: transport})
	require.NoError(t, err)
	return client
}

func TestRead(t *testing.T) {
	t.Parallel()
	pods := against(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "\x1b[32m%s\x1b[0m\n%s\n", r.URL.Path, r.URL.Query().Encode())
	})
	text, err := Read(t.Context(), pods, Request{Namespace: "ml", Pod: "llama-0", Container: "vllm", Lines: 7, Timestamps: true, Previous: true})
	require.NoError(t, err)
	require.Equal(t, "/api/v1/namespaces/ml/pods/llama-0/log\ncontainer=vllm&previous=true&tailLines=7&timestamps=true\n", text)
	text, err = Read(t.Context(), pods, Request{Namespace: "ml", Pod: "llama-0", Lines: 1})
	require.NoError(t, err)
	require.Equal(t, "/api/v1/namespaces/ml/pods/llama-0/log\ntailLines=1\n", text)
}

func TestReadKeepsTheEnd(t *testing.T) {
	t.Parallel()
	line := bytes.Repeat([]byte{'x'}, 1<<20-1)
	pods := against(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 40 {
			if _, err := fmt.Fprintf(w, "%06d%s\n", i, line[6:]); err != nil {
				return
			}
		}
	})
	text, err := Read(t.Context(), pods, Request{Namespace: "ml", Pod: "chatty", Lines: 10_000})
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), MaxBytes)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	require.GreaterOrEqual(t, len(lines), 3)
	require.Equal(t, "000039", lines[len(lines)-1][:6])
	for _, l := range lines {
		require.Len(t, l, len(line), "a line is cut")
	}
}

func TestReadFails(t *testing.T) {
	t.Parallel()
	t.Run("with the API's own words", func(t *testing.T) {
		t.Parallel()
		pods := against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"BadRequest","code":400,"message":"container \"vllm\" is waiting to start"}`)
		})
		_, err := Read(t.Context(), pods, Request{Namespace: "ml", Pod: "llama-0", Lines: 1})
		require.True(t, apierrors.IsBadRequest(err), err)
		require.ErrorContains(t, err, `container "vllm" is waiting to start`)
	})
	t.Run("where the log does not end in time", func(t *testing.T) {
		t.Parallel()
		pods := against(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "first")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := Read(ctx, pods, Request{Namespace: "ml", Pod: "llama-0", Lines: 1})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestDefaultContainer(t *testing.T) {
	t.Parallel()
	pod := func(said string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kubectl.kubernetes.io/default-container": said}},
			Spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "download"}},
				Containers:     []corev1.Container{{Name: "proxy"}, {Name: "vllm"}},
			},
		}
	}
	require.Equal(t, "vllm", DefaultContainer(pod("vllm")))
	require.Equal(t, "download", DefaultContainer(pod("download")))
	require.Equal(t, "proxy", DefaultContainer(pod("")))
	require.Equal(t, "proxy", DefaultContainer(pod("gone")))
	require.Empty(t, DefaultContainer(&corev1.Pod{}))
}
