package modelserver

import (
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// kind is what runs in a pod.
type kind string

const (
	vllm           kind = "vllm"
	llamaCpp       kind = "llamacpp"
	rayHead        kind = "ray-head"
	rayWorker      kind = "ray-worker"
	dynamoFrontend kind = "dynamo-frontend"
	dynamoWorker   kind = "dynamo-worker"
	other          kind = ""
)

// modelAnnotation is where the stand-in of KubeRay says what a worker serves.
const modelAnnotation = "devcluster.kubefoundry.io/model"

// kindOf reads what runs in a pod from its labels and command line.
func kindOf(pod *corev1.Pod) kind {
	switch {
	case pod.Labels[labelRayType] == "head":
		return rayHead
	case pod.Labels[labelRayCluster] != "":
		return rayWorker
	case pod.Labels[labelType] == "frontend":
		return dynamoFrontend
	case pod.Labels[labelGraph] != "":
		return dynamoWorker
	case pod.Labels[labelWorkspace] == "" || len(pod.Spec.Containers) == 0:
		return other
	}
	for _, word := range commandLine(pod) {
		if strings.Contains(word, "vllm") {
			return vllm
		}
	}
	return llamaCpp
}

func commandLine(pod *corev1.Pod) []string {
	if len(pod.Spec.Containers) == 0 {
		return nil
	}
	c := pod.Spec.Containers[0]
	words := slices.Concat(c.Command, c.Args)
	if len(words) > 1 && (words[0] == "/bin/sh" || words[0] == "sh") {
		// One string for a shell, as older manifests have it.
		return strings.Fields(strings.Join(words, " "))
	}
	return words
}

// model is what a pod serves, and under which name.
type model struct{ id, served string }

func modelOf(pod *corev1.Pod) model {
	if served, id, ok := strings.Cut(pod.Annotations[modelAnnotation], " "); ok {
		return model{id: id, served: served}
	}
	words := commandLine(pod)
	m := model{id: flag(words, "--model", "--model-path"), served: flag(words, "--served-model-name")}
	for _, word := range words {
		if path, ok := strings.CutPrefix(word, "huggingface://"); ok {
			m.id = path[strings.LastIndexByte(path, '/')+1:]
		}
	}
	if m.id == "" && len(pod.Spec.Containers) > 0 {
		// An AIKit image is named after its model: "…/aikit/llama3.2:1b".
		image := pod.Spec.Containers[0].Image
		m.id = strings.ReplaceAll(image[strings.LastIndexByte(image, '/')+1:], ":", "-")
	}
	if m.served == "" {
		m.served = m.id
	}
	return m
}

func flag(words []string, names ...string) string {
	for i, word := range words {
		for _, name := range names {
			if value, ok := strings.CutPrefix(word, name+"="); ok {
				return value
			}
			if word == name && i+1 < len(words) {
				return words[i+1]
			}
		}
	}
	return ""
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}

func running(pod *corev1.Pod) bool {
	return len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Running != nil
}

// startOf is when the first container started to run.
func startOf(pod *corev1.Pod) time.Time {
	if running(pod) {
		return pod.Status.ContainerStatuses[0].State.Running.StartedAt.Time
	}
	return pod.CreationTimestamp.Time
}

// handler is what listens on a port of a pod, nil if nothing does.
func (f *Fleet) handler(pod *corev1.Pod, port uint16, now time.Time) http.Handler {
	if !running(pod) {
		return nil
	}
	s := server{pod: pod, kind: kindOf(pod), model: modelOf(pod), load: loadOf(pod, now), now: now, ready: ready(pod)}
	switch s.kind {
	case vllm:
		// vLLM listens when the weights are loaded, not before.
		if s.ready && declares(pod, port) {
			return s.vllm()
		}
	case llamaCpp:
		if port == 5000 {
			return s.llamaCpp()
		}
	case dynamoFrontend:
		if s.ready && port == 8000 {
			s.model, s.ready = f.serving(pod)
			return s.dynamoFrontend()
		}
	case dynamoWorker:
		if s.ready && port == 9090 {
			return s.dynamoWorker()
		}
	case rayHead, rayWorker:
		if s.ready {
			s.model, s.ready = f.serving(pod)
			return s.ray(port)
		}
	case other:
	}
	return nil
}

// serving is the model of the deployment that a pod is the entrance of, and
// whether a worker is ready for it.
func (f *Fleet) serving(pod *corev1.Pod) (model, bool) {
	m, alive := model{}, false
	for _, member := range f.group(pod) {
		if k := kindOf(member); k != rayWorker && k != dynamoWorker {
			continue
		}
		if m.id == "" {
			m = modelOf(member)
		}
		alive = alive || ready(member)
	}
	return m, alive
}

func declares(pod *corev1.Pod, port uint16) bool {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.ContainerPort == int32(port) {
				return true
			}
		}
	}
	return false
}
