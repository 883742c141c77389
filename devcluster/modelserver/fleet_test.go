package modelserver

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var began = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// newPod is a running, ready pod of one container.
func newPod(name, ip string, labels map[string]string, container corev1.Container) *corev1.Pod {
	if container.Name == "" {
		container.Name = "main"
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ml", UID: types.UID(name), Labels: labels, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{container}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(began)}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: container.Name, Ready: true,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(began)}},
			}},
		},
	}
}

func unready(pod *corev1.Pod) *corev1.Pod {
	pod.Status.Conditions[0].Status = corev1.ConditionFalse
	pod.Status.ContainerStatuses[0].Ready = false
	return pod
}

func ports(numbers ...int32) []corev1.ContainerPort {
	var list []corev1.ContainerPort
	for _, n := range numbers {
		list = append(list, corev1.ContainerPort{ContainerPort: n})
	}
	return list
}

func fleetOf(t *testing.T, pods ...*corev1.Pod) *Fleet {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	fleet, err := New(factory)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		if err := fleet.pods.GetIndexer().Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- fleet.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return fleet
}

func clientOf(fleet *Fleet) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			if conn, ok := fleet.DialPod(ctx, address); ok {
				return conn, nil
			}
			return nil, &net.OpError{Op: "dial", Err: net.UnknownNetworkError("refused")}
		},
	}}
}

func get(t *testing.T, fleet *Fleet, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := clientOf(fleet).Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func vllmPod(name, ip string) *corev1.Pod {
	return newPod(name, ip, map[string]string{labelWorkspace: name}, corev1.Container{
		Command: []string{"python"}, Ports: ports(8000),
		Args: []string{"-m", "vllm.entrypoints.openai.api_server", "--model", "org/model", "--served-model-name", "nick"},
	})
}

func graphPods() []*corev1.Pod {
	frontend := newPod("g-frontend", "10.64.1.1", map[string]string{labelGraph: "g", labelType: "frontend"}, corev1.Container{Ports: ports(8000)})
	worker := newPod("g-worker", "10.64.1.2", map[string]string{labelGraph: "g", labelType: "worker"}, corev1.Container{
		Args: []string{"-m", "dynamo.sglang", "--model-path", "org/graph"},
	})
	return []*corev1.Pod{frontend, worker}
}

func rayPods() []*corev1.Pod {
	head := newPod("r-head", "10.64.2.1", map[string]string{labelRayCluster: "r", labelRayType: "head"}, corev1.Container{})
	worker := newPod("r-worker", "10.64.2.2", map[string]string{labelRayCluster: "r", labelRayType: "worker"}, corev1.Container{})
	worker.Annotations[modelAnnotation] = "nick org/ray"
	return []*corev1.Pod{head, worker}
}

func llamaPod(name, ip string) *corev1.Pod {
	return newPod(name, ip, map[string]string{labelWorkspace: name}, corev1.Container{
		Image: "ghcr.io/kaito-project/aikit/llama3.2:1b", Args: []string{"run", "--address=:5000"}, Ports: ports(5000),
	})
}

func TestAnswers(t *testing.T) {
	graph, ray := graphPods(), rayPods()
	idle := newPod("idle-frontend", "10.64.3.1", map[string]string{labelGraph: "idle", labelType: "frontend"}, corev1.Container{})
	fleet := fleetOf(t, append(append(graph, ray...),
		vllmPod("v", "10.64.0.1"), unready(vllmPod("loading", "10.64.0.2")),
		llamaPod("l", "10.64.0.3"), unready(llamaPod("l-loading", "10.64.0.4")), idle)...)

	for _, test := range []struct {
		name, url, want string
		code            int
	}{
		{"vllm is healthy", "http://10.64.0.1:8000/health", "", 200},
		{"vllm names its model", "http://10.64.0.1:8000/v1/models", `"id":"nick"`, 200},
		{"vllm does not listen while it loads", "http://10.64.0.2:8000/health", "refused", 0},
		{"no pod listens on another port", "http://10.64.0.1:9999/health", "refused", 0},
		{"no pod has the address", "http://10.64.9.9:8000/health", "refused", 0},
		{"llama.cpp is healthy", "http://10.64.0.3:5000/health", `"ok"`, 200},
		{"llama.cpp says that it loads", "http://10.64.0.4:5000/health", "being loaded", 503},
		{"llama.cpp is named after its image", "http://10.64.0.3:5000/v1/models", `"id":"llama3.2-1b"`, 200},
		{"a frontend names the model of its workers", "http://10.64.1.1:8000/v1/models", `"id":"org/graph"`, 200},
		{"a frontend without workers has no model", "http://10.64.3.1:8000/v1/models", `"data":[]`, 200},
		{"and is not healthy", "http://10.64.3.1:8000/health", "unhealthy", 503},
		{"a worker has the engine's metrics", "http://10.64.1.2:9090/metrics", "vllm:num_requests_running", 200},
		{"Ray's dashboard has applications", "http://10.64.2.1:8265/api/serve/applications/", `"status":"RUNNING"`, 200},
		{"a worker has none", "http://10.64.2.2:8265/api/version", "refused", 0},
		{"Ray serves on every node", "http://10.64.2.2:8000/v1/models", `"id":"nick"`, 200},
		{"and is healthy in one word", "http://10.64.2.1:8000/-/healthz", "success", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, body := get(t, fleet, test.url)
			if code != test.code || !strings.Contains(body, test.want) {
				t.Errorf("%s answers %d %q, want %d with %q", test.url, code, body, test.code, test.want)
			}
		})
	}
}

func TestMetricsParse(t *testing.T) {
	fleet := fleetOf(t, append(append(graphPods(), rayPods()...), vllmPod("v", "10.64.0.1"), llamaPod("l", "10.64.0.3"))...)
	for url, wanted := range map[string][]string{
		"http://10.64.0.1:8000/metrics": {"vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc", "vllm:e2e_request_latency_seconds", "vllm:prompt_tokens_total"},
		"http://10.64.0.3:5000/metrics": {"llamacpp:requests_processing", "llamacpp:tokens_predicted_total"},
		"http://10.64.1.1:8000/metrics": {"dynamo_frontend_requests_total", "vllm:num_requests_waiting"},
		"http://10.64.2.1:8080/metrics": {"ray_serve_num_http_requests_total", "ray_serve_http_request_latency_ms", "ray_serve_replica_processing_queries"},
	} {
		_, body := get(t, fleet, url)
		parser := expfmt.NewTextParser(names.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		for _, name := range wanted {
			if families[name] == nil {
				t.Errorf("%s has no %s", url, name)
			}
		}
	}
}

// A counter that falls would look like a restart.
func TestCountersNeverFall(t *testing.T) {
	pod := vllmPod("v", "10.64.0.1")
	before := loadOf(pod, began)
	for minute := 1; minute < 60; minute++ {
		l := loadOf(pod, began.Add(time.Duration(minute)*time.Minute))
		if l.requests <= before.requests || l.rate <= 0 {
			t.Fatalf("minute %d: %v requests after %v, rate %v", minute, l.requests, before.requests, l.rate)
		}
		before = l
	}
}

func post(t *testing.T, fleet *Fleet, url, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := clientOf(fleet).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestCompletion(t *testing.T) {
	fleet := fleetOf(t, vllmPod("v", "10.64.0.1"))
	const url = "http://10.64.0.1:8000/v1/chat/completions"
	response := post(t, fleet, url, `{"model":"nick","max_tokens":5,"messages":[{"role":"user","content":"hello"}]}`)
	var body struct {
		Choices []struct {
			Message struct{ Content string }
			Reason  string `json:"finish_reason"`
		}
		Usage struct {
			Tokens int `json:"completion_tokens"`
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if len(body.Choices) != 1 || body.Usage.Tokens != 5 || len(strings.Fields(body.Choices[0].Message.Content)) != 5 || body.Choices[0].Reason != "length" {
		t.Errorf("answer is %+v", body)
	}
	if code := post(t, fleet, url, `{"model":"other"}`).StatusCode; code != http.StatusNotFound {
		t.Errorf("unknown model answers %d", code)
	}
}

func TestStream(t *testing.T) {
	fleet := fleetOf(t, vllmPod("v", "10.64.0.1"))
	response := post(t, fleet, "http://10.64.0.1:8000/v1/chat/completions",
		`{"model":"nick","max_tokens":3,"stream":true,"stream_options":{"include_usage":true},"messages":[{"content":"hello"}]}`)
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		t.Errorf("content type is %s", kind)
	}
	var events []string
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			events = append(events, text)
		}
	}
	// The role, three words, the end, the usage, and the mark of the end.
	if len(events) != 7 || events[6] != "[DONE]" || !strings.Contains(events[5], `"completion_tokens":3`) || !strings.Contains(events[4], `"length"`) {
		t.Errorf("events are %q", events)
	}
}
