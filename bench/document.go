package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// marker comes before the time at which something was changed, in nanoseconds since 1970: 19 digits until the year 2286.
// It goes wherever a text goes, from a status in Kubernetes to a document on a stream.
const marker = "sent="

const markerDigits = 19

// mark is a text with the time now.
func mark() string { return marker + strconv.FormatInt(time.Now().UnixNano(), 10) }

// sentAt reads the first mark in a text; complete is false where there is none, or not all of it.
func sentAt(text []byte) (at int64, complete bool) {
	i := bytes.Index(text, []byte(marker))
	if i < 0 || len(text) < i+len(marker)+markerDigits {
		return 0, false
	}
	digits := text[i+len(marker) : i+len(marker)+markerDigits]
	at, err := strconv.ParseInt(string(digits), 10, 64)
	return at, err == nil
}

// document makes versions of one deployment that differ in their mark.
type document struct {
	key           api.Key
	before, after []byte
}

// newDocument is the n-th deployment, of about size bytes.
func newDocument(n, size int) (document, error) {
	namespace, name := fmt.Sprintf("team-%02d", n%20), fmt.Sprintf("model-%05d", n)
	key := api.DeploymentKey(namespace, "kaito", name)
	created := time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC)
	d := api.Deployment{
		Id: key.ID, Name: name, Namespace: namespace, Provider: "kaito",
		ModelId: "Qwen/Qwen2.5-7B-Instruct", ServedModelName: name, Engine: api.EngineVllm, Mode: api.ModeAggregated,
		Phase: []api.Phase{api.PhaseRunning, api.PhaseDeploying, api.PhaseFailed}[n%3], Message: marker,
		Roles: []api.Role{}, Conditions: []api.Condition{}, Reasons: []api.Reason{}, Pods: []api.PodSummary{},
		CreatedAt: created, UpdatedAt: created,
		Resource: api.ResourceRef{Group: "kaito.sh", Version: "v1beta1", Kind: "Workspace", Resource: "workspaces", Uid: fmt.Sprintf("%08d-0000-4000-8000-000000000000", n)},
	}
	b, err := json.Marshal(d)
	if err != nil {
		return document{}, err
	}
	before, after, _ := bytes.Cut(b, []byte(marker))
	if room := size - len(b) - markerDigits; room > 0 {
		after = append([]byte(strings.Repeat("x", room)), after...)
	}
	return document{key: key, before: append(before, marker...), after: after}, nil
}

// now is the document with the time now.
func (d document) now() []byte {
	b := make([]byte, 0, len(d.before)+len(d.after)+markerDigits)
	b = strconv.AppendInt(append(b, d.before...), time.Now().UnixNano(), 10)
	return append(b, d.after...)
}

func newDocuments(n, size int) ([]document, error) {
	list := make([]document, n)
	for i := range list {
		var err error
		if list[i], err = newDocument(i, size); err != nil {
			return nil, err
		}
	}
	return list, nil
}
