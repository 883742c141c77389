package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// several are deployments whose every field orders them differently.
func several() []any {
	at := func(d api.Deployment, created, updated int, phase api.Phase, engine api.Engine, model, message string) any {
		d.CreatedAt, d.UpdatedAt = dawn.Add(time.Duration(created)*time.Hour), dawn.Add(time.Duration(updated)*time.Hour)
		d.Phase, d.Engine, d.ModelId, d.Message = phase, engine, model, message
		return d
	}
	return []any{
		at(deployment("ml", "kaito", "b"), 1, 9, api.PhaseRunning, api.EngineVllm, "qwen/3", ""),
		at(deployment("chat", "kaito", "d"), 3, 5, api.PhaseFailed, api.EngineLlamacpp, "meta/llama", "CrashLoopBackOff in 2 pods"),
		at(deployment("ml", "kuberay", "a"), 2, 7, api.PhasePending, api.EngineVllm, "org/a", ""),
		at(deployment("ml", "dynamo", "c"), 2, 8, api.PhaseRunning, api.EngineTrtllm, "org/ÄPFEL", ""),
	}
}

func names(list api.DeploymentList) string {
	var b strings.Builder
	for _, d := range list.Deployments {
		b.WriteString(d.Name)
	}
	return b.String()
}

func TestDeploymentsFilteredOrderedAndPaged(t *testing.T) {
	c := serve(t)
	c.beat()
	c.synced()
	c.put(several()...)
	for query, want := range map[string]string{
		"":                               "dcab", // newest first; what is equally old by id
		"?order=asc":                     "bcad",
		"?sort=updatedAt":                "bcad",
		"?sort=updatedAt&order=asc":      "dacb",
		"?sort=name":                     "abcd",
		"?sort=name&order=desc":          "dcba",
		"?sort=namespace":                "dcba",
		"?sort=modelId":                  "dacb",
		"?sort=provider":                 "cdba",
		"?sort=engine":                   "dcba",
		"?sort=phase":                    "dacb"[:1] + "a" + "cb",
		"?namespace=ml&sort=name":        "abc",
		"?namespace=none":                "",
		"?runtime=kaito&sort=name":       "bd",
		"?phase=Running&sort=name":       "bc",
		"?engine=vllm&sort=name":         "ab",
		"?q=LLAMA":                       "d",
		"?q=crashloop":                   "d",
		"?q=%C3%A4pfel":                  "c",
		"?q=ml&sort=name":                "abc",
		"?namespace=ml&phase=Running":    "cb",
		"?sort=name&limit=2":             "ab",
		"?sort=name&limit=2&offset=2":    "cd",
		"?sort=name&limit=1000&offset=1": "bcd",
		"?sort=name&offset=4":            "",
		"?sort=name&offset=9223372036854775807&limit=1000": "",
	} {
		t.Run(query, func(t *testing.T) { require.Equal(t, want, names(c.deployments(query))) })
	}
	require.Equal(t, api.Pagination{Total: 4, Limit: 4}, c.deployments("").Pagination)
	require.Equal(t, api.Pagination{Total: 4, Limit: 2, HasMore: true}, c.deployments("?limit=2").Pagination)
	require.Equal(t, api.Pagination{Total: 4, Limit: 2, Offset: 2}, c.deployments("?limit=2&offset=2").Pagination)
	require.Equal(t, api.Pagination{Total: 3, Limit: 1, Offset: 1, HasMore: true}, c.deployments("?namespace=ml&limit=1&offset=1").Pagination)
	require.Equal(t, 3, c.deployments("?namespace=ml").State.Count)
}

func TestOneDeployment(t *testing.T) {
	c := serve(t).fill()
	var d api.Deployment
	c.get("/api/deployments/phi").into(t, &d)
	require.Equal(t, "chat/kaito/phi", d.Id)
	c.get("/api/deployments/llama?runtime=kuberay").into(t, &d)
	require.Equal(t, "ml/kuberay/llama", d.Id)
	c.get("/api/deployments/llama?namespace=ml&runtime=kaito").into(t, &d)
	require.Equal(t, "ml/kaito/llama", d.Id)

	e := c.get("/api/deployments/llama").failure(t)
	require.Equal(t, http.StatusConflict, e.StatusCode)
	require.Equal(t, "2 deployments are named llama; say which one with ?namespace= and ?runtime=", e.Message)
	require.Equal(t, []api.ErrorDetail{{Field: "name", Message: "namespace=ml&runtime=kaito"}, {Field: "name", Message: "namespace=ml&runtime=kuberay"}}, e.Details)
	require.Equal(t, http.StatusNotFound, c.get("/api/deployments/phi?namespace=ml").status)

	var pods api.PodList
	c.get("/api/deployments/llama/pods?runtime=kaito").into(t, &pods)
	require.Len(t, pods.Pods, 2)
	require.Equal(t, "llama-0", pods.Pods[0].Name)
	require.JSONEq(t, `{"pods":[]}`, c.get("/api/deployments/phi/pods").body)
	require.Equal(t, http.StatusConflict, c.get("/api/deployments/llama/pods").status)

	var reasons api.ReasonList
	c.get("/api/deployments/qwen/pending-reasons").into(t, &reasons)
	require.Equal(t, "FailedScheduling", reasons.Reasons[0].Reason)
	require.JSONEq(t, `{"reasons":[]}`, c.get("/api/deployments/phi/pending-reasons").body)

	// Pods that are not known are not "no pods".
	c.state(api.KindPods, api.KindState{Error: "pods: forbidden"})
	e = c.get("/api/deployments/phi/pods").failure(t)
	require.Equal(t, "nothing is known of pods: pods: forbidden", e.Message)
}

func TestNodesAndCapacity(t *testing.T) {
	c := serve(t).fill()
	cordoned := node("gpu-c", 2, 0)
	cordoned.Schedulable = false
	c.put(cordoned)
	count := func(path string) int {
		var nodes api.NodeList
		c.get(path).into(t, &nodes)
		return len(nodes.Nodes)
	}
	require.Equal(t, 3, count("/api/cluster/nodes"))
	require.Equal(t, 4, count("/api/cluster/nodes?includeCordoned=true"))
	require.Equal(t, 3, count("/api/health/nodes"))

	var gpus api.GpuCapacity
	before := c.get("/api/installation/gpu-capacity")
	before.into(t, &gpus)
	require.Equal(t, 7, gpus.AvailableGpus)
	require.Len(t, gpus.Nodes, 3)
	// The totals come from another document than the nodes.
	c.put(capacity(12, 6))
	after := c.get("/api/installation/gpu-capacity", "If-None-Match", before.header.Get("ETag"))
	after.into(t, &gpus)
	require.Equal(t, 6, gpus.AvailableGpus)
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	c := serve(t).fill()
	for _, o := range documentedOperations(c.server.document) {
		target := strings.ReplaceAll(o.path, "{name}", "qwen")
		if o.path == streamPath || o.path == "/metrics" {
			continue
		}
		get, head := c.get(target), c.ask(http.MethodHead, target)
		require.Equal(t, get.status, head.status, target)
		require.Empty(t, head.body)
		get.header.Del("Date")
		head.header.Del("Date")
		if strings.Contains(get.body, "timestamp") { // which has more digits at times
			get.header.Del("Content-Length")
			head.header.Del("Content-Length")
		}
		require.Equal(t, get.header, head.header, target)
	}
	f := c.open(t, "")
	head := c.ask(http.MethodHead, streamPath).header
	for _, name := range []string{"Content-Type", "Cache-Control", "X-Accel-Buffering"} {
		require.Equal(t, f.header.Get(name), head.Get(name))
	}
	require.Equal(t, http.StatusBadRequest, c.ask(http.MethodHead, streamPath+"?since=x").status)
}

func TestAnAnswerThatStillHoldsIsNotSentAgain(t *testing.T) {
	c := serve(t).fill()
	for _, path := range []string{"/api/deployments", "/api/deployments?namespace=ml&q=l", "/api/cluster/nodes", "/api/health/nodes", "/api/runtimes/status", "/api/installation/gpu-capacity", "/api/installation/gpu-capacity/detailed"} {
		t.Run(path, func(t *testing.T) {
			etag := func() string { return c.get(path).header.Get("ETag") }
			first := etag()
			require.NotEmpty(t, first)
			for _, sent := range []string{first, strings.TrimPrefix(first, "W/"), `"x", ` + first, "*"} {
				a := c.get(path, "If-None-Match", sent)
				require.Equal(t, http.StatusNotModified, a.status, sent)
				require.Empty(t, a.body)
				require.Equal(t, first, a.header.Get("ETag"))
			}
			require.Equal(t, http.StatusOK, c.get(path, "If-None-Match", `"x"`).status)
			c.put(pod("ml", "qwen-0", "ml/dynamo/qwen"))
			require.Equal(t, first, etag(), "another kind changed")
			c.put(deployment("ml", "kaito", "new"), node("new", 1, 0), api.Runtime{Id: "new"}, capacity(1, 1), pools(1, 1))
			second := etag()
			require.NotEqual(t, first, second, "it changed")
			for _, kind := range api.Kinds() {
				c.state(kind, api.KindState{Synced: true, Error: "the watch is broken"})
			}
			require.NotEqual(t, second, etag(), "only what is known of it changed")
			c.synced()
		})
	}
}

// TestSilenceOfThePublisherShows: nothing is applied, and yet answers are no longer what they were.
func TestSilenceOfThePublisherShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, view: view.New(view.Options{}), epoch: "e1"}
		c.fill()
		bodies := &Server{view: c.view, bodies: newBodies()}
		read := func() (*body, api.KindState) {
			b, err := bodies.rendered("x", view.Query{Kind: api.KindDeployments, Sight: api.Everything()}, func(_ []byte, page view.Page) ([]byte, error) {
				return json.Marshal(page.State)
			}, nil)
			require.NoError(t, err)
			var state api.KindState
			require.NoError(t, json.Unmarshal(b.plain, &state))
			return b, state
		}
		fresh, state := read()
		require.Empty(t, state.Error)
		time.Sleep(time.Minute)
		silent, first := read()
		require.Contains(t, first.Error, "up to date since")
		require.NotEqual(t, fresh.version, silent.version)
		c.beat()
		time.Sleep(time.Minute)
		later, second := read()
		require.NotEqual(t, first.Error, second.Error, "silent again, since later")
		require.NotEqual(t, silent.version, later.version)
	})
}

// TestABodyIsNotKeptUnderALaterVersion: what changes while it is rendered makes it old.
func TestABodyIsNotKeptUnderALaterVersion(t *testing.T) {
	c := &cluster{t: t, view: view.New(view.Options{}), epoch: "e1"}
	c.fill()
	s := &Server{view: c.view, bodies: newBodies()}
	read := func(meanwhile func()) int {
		b, err := s.rendered("x", view.Query{Kind: api.KindDeployments, Sight: api.Everything()}, func(b []byte, page view.Page) ([]byte, error) {
			meanwhile()
			return fmt.Append(b, page.Total), nil
		}, nil)
		require.NoError(t, err)
		var n int
		require.NoError(t, json.Unmarshal(b.plain, &n))
		return n
	}
	require.Equal(t, 4, read(func() { c.put(deployment("ml", "kaito", "new")) }))
	require.Equal(t, 5, read(func() {}))
}

func TestCompression(t *testing.T) {
	c := serve(t).fill()
	plain := c.get("/api/deployments")
	require.Empty(t, plain.header.Get("Content-Encoding"))
	for accept, want := range map[string]bool{
		"gzip": true, "br, gzip": true, "GZIP": true, "gzip;q=0.5": true, "gzip; q=1.0, identity; q=0.5": true, "identity;q=0, gzip": true, "deflate, gzip;q=1.0, *;q=0.5": true,
		"": false, "identity": false, "br": false, "gzip;q=0": false, "gzip;q=0.000": false, "gzip ; q = 0": false, "gzip;q=0.2, identity;q=0.9": false, "gzip;q=x": false, "gzippy": false,
	} {
		t.Run(accept, func(t *testing.T) {
			a := c.get("/api/deployments", "Accept-Encoding", accept)
			require.Equal(t, want, a.header.Get("Content-Encoding") == "gzip")
			require.Contains(t, a.header.Values("Vary"), "Accept-Encoding")
			body := []byte(a.body)
			if want {
				require.Less(t, len(body), len(plain.body)/2)
				r, err := gzip.NewReader(bytes.NewReader(body))
				require.NoError(t, err)
				body, err = io.ReadAll(r)
				require.NoError(t, err)
			}
			require.Equal(t, plain.body, string(body))
		})
	}
	require.Empty(t, c.get("/api/runtimes/status?x", "Accept-Encoding", "gzip").header.Get("Content-Encoding"), "too small to be worth it")
}

// TestKeptBodiesAreBounded: each query makes a body, and anybody can make up queries.
func TestKeptBodiesAreBounded(t *testing.T) {
	b := newBodies()
	for i := range 100_000 {
		b.put(bodyKey{query: view.Query{Offset: i}}, &body{plain: make([]byte, 10)})
	}
	require.LessOrEqual(t, b.bytes, maxKeptBytes)
	require.LessOrEqual(t, len(b.kept), maxKeptBytes>>10)
	b.put(bodyKey{shape: "large"}, &body{plain: make([]byte, maxKeptBody+1)})
	require.NotContains(t, b.kept, bodyKey{shape: "large"})
	again := newBodies()
	for range 10 {
		again.put(bodyKey{shape: "x"}, &body{plain: make([]byte, 100)})
	}
	require.Equal(t, (&body{plain: make([]byte, 100)}).cost(), again.bytes, "replaced, not added")
}

// TestAListGoesOnAsAStream: whoever reads a list and follows from its cursor holds, once synced, what a later list returns.
func TestAListGoesOnAsAStream(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Coalesce = time.Millisecond })).fill()
	rapid.Check(t, func(t *rapid.T) {
		namespace := rapid.SampledFrom([]string{"", "ml", "chat"}).Draw(t, "namespace")
		alter := func() {
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				d := deployment(rapid.SampledFrom([]string{"ml", "chat"}).Draw(t, "in"), "kaito", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"))
				d.Gpus = int(c.revision)
				if rapid.Bool().Draw(t, "delete") {
					c.remove(keyOf(d))
				} else {
					c.put(d)
				}
			}
		}
		query, and := "", ""
		if namespace != "" {
			query, and = "?namespace="+namespace, "&namespace="+namespace
		}
		alter()
		before := c.deployments(query)
		alter()
		f := c.open(c.t, "?kinds=deployments&since="+before.Cursor+and)
		defer f.close()
		for _, d := range before.Deployments {
			b, err := json.Marshal(d)
			require.NoError(t, err)
			f.held[key{api.KindDeployments, d.Id}] = b
		}
		f.until("synced")
		require.NotContains(t, f.types(), "reset")
		after := c.deployments(query)
		require.Len(t, f.held, len(after.Deployments))
		for _, d := range after.Deployments {
			b, err := json.Marshal(d)
			require.NoError(t, err)
			require.JSONEq(t, string(b), string(f.held[key{api.KindDeployments, d.Id}]))
		}
	})
}

// TestAListIsNeverOlderThanItsETag: many read while it changes, and none is told that what it has still holds when it does not.
func TestAListIsNeverOlderThanItsETag(t *testing.T) {
	c := serve(t).fill()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			d := deployment("ml", "kaito", "busy")
			d.Gpus = i + 1
			c.put(d)
		}
	}()
	etag, have := "", 0
	for running := true; running; {
		select {
		case <-done:
			running = false // once more
		default:
		}
		a := c.get("/api/deployments?q=busy", "If-None-Match", etag)
		if a.status == http.StatusOK {
			var list api.DeploymentList
			a.into(t, &list)
			if len(list.Deployments) == 1 {
				require.GreaterOrEqual(t, list.Deployments[0].Gpus, have)
				have = list.Deployments[0].Gpus
			}
			etag = a.header.Get("ETag")
		}
	}
	require.Equal(t, 300, have, fmt.Sprint("kept under ", etag))
}
