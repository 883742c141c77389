package tenancy

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// refuseWell is the table of errors: every operation with each thing that can be wrong with it has to answer in the one shape.
func refuseWell(t *testing.T, everybody map[string]*caller) {
	b, admin, none := openBook(t), everybody["admin"].by(direct), everybody["none"].by(direct)
	examples := stageOf(t, admin, "fresh-error").examples()
	t.Run("nothing of that name", func(t *testing.T) {
		for _, o := range b.all {
			if strings.Contains(o.path, "{") {
				t.Run(o.OperationID, func(t *testing.T) {
					e := exampleOf(t, examples, o)
					e.path = "no-such-thing"
					if strings.Contains(o.path, "{namespace}") {
						e.path = admin.world.own + "/no-such-thing"
					}
					got := admin.send(t, o.method, e.target(o), e.body)
					require.Equal(t, http.StatusNotFound, got.status, got.body)
					require.Equal(t, api.ErrorCodeNotFound, failure(t, got).Code)
					b.check(t, o, e.target(o), got)
				})
			}
		}
	})
	t.Run("not a name", func(t *testing.T) {
		for _, o := range b.all {
			if slices.ContainsFunc(o.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.In == "path" && p.Value.Schema.Value.Pattern != "" }) {
				t.Run(o.OperationID, func(t *testing.T) {
					e := exampleOf(t, examples, o)
					e.path = "Not_A_Name/Nor_This"
					got := admin.send(t, o.method, e.target(o), e.body)
					require.Equal(t, http.StatusBadRequest, got.status, got.body)
					require.NotEmpty(t, failure(t, got).Details)
					b.check(t, o, e.target(o), got)
				})
			}
		}
	})
	t.Run("not a body", func(t *testing.T) {
		for _, o := range b.all {
			if o.RequestBody != nil {
				t.Run(o.OperationID, func(t *testing.T) { wrongBodies(t, admin, b, o, exampleOf(t, examples, o)) })
			}
		}
	})
	t.Run("no rights", func(t *testing.T) {
		for _, o := range b.all {
			t.Run(o.OperationID, func(t *testing.T) {
				e := exampleOf(t, examples, o)
				if o.OperationID == "getStream" {
					return
				}
				if slices.Equal(e.want, []int{http.StatusBadRequest}) { // who may do it must not, in a test
					e.query = ""
				}
				got := none.send(t, o.method, e.target(o), e.body, e.header...)
				b.check(t, o, e.target(o), got)
				if everybodys[o.OperationID] {
					require.Contains(t, append(e.statuses(), http.StatusNotFound), got.status, got.body)
					return
				}
				require.Contains(t, []int{http.StatusForbidden, http.StatusNotFound}, got.status, got.body)
				failure(t, got)
			})
		}
	})
}

// everybodys are the operations that whoever may use the API may ask for. What they show of things that not everybody may see
// is held against rights in TestRoles.
var everybodys = map[string]bool{
	"getLivez": true, "getReadyz": true, "getOpenapi": true, "getHealth": true, "getVersion": true, "getHealthStatus": true, "getHealthNodes": true, "getMe": true,
	"getCluster": true, "getClusterVersion": true, "getClusterStatus": true, "listNodes": true, "listDeployments": true, "previewDeployment": true,
	"listRuntimes": true, "getGpuCapacity": true, "getGpuCapacityDetailed": true, "getHelmStatus": true, "getGpuOperatorStatus": true,
	"getInstallationStatus": true, "getInstallationCommands": true, "listOperations": true, "listModels": true, "searchModels": true, "getModelInfo": true,
	"listGgufFiles": true, "getModelFit": true, "getHuggingFaceLogin": true, "exchangeHuggingFaceCode": true, "getHuggingFaceSecretStatus": true,
	"getSettings": true, "listProviders": true, "getProvider": true, "getStream": true,
	"listAikitModels": true, "getAikitModel": true, "previewAikitBuild": true, "buildAikitImage": true, // of a ready image
	"estimateCost": true, "getNodePoolCosts": true, "getInstancePrice": true, "listGpuModels": true, "normalizeGpuLabel": true,
	"getAiConfiguratorStatus": true, "analyzeModel": true, "normalizeGpuProduct": true,
}

// wrongBodies sends what is no JSON, no object, nothing, and an object whose every field has another type: all of these are
// named at once.
func wrongBodies(t *testing.T, a asking, b *book, o operation, e example) {
	refused := func(what string, content any, header ...string) api.Error {
		t.Helper()
		got := a.send(t, o.method, e.target(o), content, header...)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, got.status, "%s: %s", what, got.body)
		b.check(t, o, e.target(o), got)
		failed := failure(t, got)
		require.Equal(t, api.ErrorCodeInvalidRequest, failed.Code, what)
		require.NotEmpty(t, failed.Details, what)
		return failed
	}
	refused("nothing", nil)
	refused("no JSON", `{"`)
	refused("half an object", `{"name": `)
	refused("a list", `[]`)
	refused("null", `null`)
	refused("a text", `"text"`)
	if o.Extensions["x-body-checked-by-handler"] == nil {
		refused("another type of content", jsonOf(t, e.body), "Content-Type", "text/plain")
	}
	wrong := body{}
	for name, property := range o.RequestBody.Value.Content.Get("application/json").Schema.Value.Properties {
		if value := mistyped(property.Value); value != nil {
			wrong[name] = value
		}
	}
	if len(wrong) == 0 {
		return
	}
	named := []string{}
	for _, d := range refused("every field", wrong).Details {
		field, _, _ := strings.Cut(d.Field, ".")
		named = append(named, field)
	}
	for name := range wrong {
		assert.Contains(t, named, name, "not named")
	}
}

// mistyped is a value that a schema does not take; nil where it takes all.
func mistyped(s *openapi3.Schema) any {
	switch {
	case len(s.AllOf) > 0:
		return mistyped(s.AllOf[0].Value)
	case s.Type == nil:
		return nil
	case s.Type.Is(openapi3.TypeString):
		return 7
	}
	return "wrong"
}

// gate leads to an API server until it is shut.
type gate struct {
	net.Listener
	to    string
	mu    sync.Mutex
	open  map[net.Conn]bool
	shut  bool
	inner sync.WaitGroup
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	require.NoError(t, err)
	g := &gate{Listener: listener, to: to, open: map[net.Conn]bool{}}
	g.inner.Go(func() {
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			g.inner.Go(func() { g.lead(c) })
		}
	})
	t.Cleanup(g.close)
	return g
}

func (g *gate) lead(c net.Conn) {
	defer c.Close()
	on, err := net.Dial("tcp", g.to) //nolint:noctx // a test
	if err != nil {
		return
	}
	defer on.Close()
	g.mu.Lock()
	g.open[c], g.open[on] = true, true
	shut := g.shut
	g.mu.Unlock()
	if shut {
		return
	}
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{c, on}, {on, c}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = pair[0].Close()
		})
	}
	both.Wait()
}

func (g *gate) close() {
	_ = g.Listener.Close()
	g.mu.Lock()
	g.shut = true
	for c := range g.open {
		_ = c.Close()
	}
	g.mu.Unlock()
	g.inner.Wait()
}

// startAlone runs a server without authentication, with these further flags, and returns its address.
func startAlone(t *testing.T, kubeconfig string, flags ...string) string {
	t.Helper()
	built, err := binary()
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	require.NoError(t, err)
	require.NoError(t, free.Close())
	log := &synced{}
	command := exec.Command(built, append([]string{ //nolint:noctx,gosec // ended below
		"serve", "--kubeconfig", kubeconfig, "--authentication=off", "--listen=" + free.Addr().String(), "--namespace=alone", "--log-level=debug",
	}, append(alone(t), flags...)...)...)
	command.Stderr = log
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		force := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
		defer force.Stop()
		if err := command.Wait(); err != nil || t.Failed() {
			t.Logf("kubefoundry: %v\n%.20000s", err, log)
		}
	})
	address := "http://" + free.Addr().String()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		response, err := http.Get(address + "/livez") //nolint:noctx // a test
		require.NoError(c, err)
		require.NoError(c, response.Body.Close())
	}, patience, 50*time.Millisecond)
	return address
}

// ownAnswers are of the server itself, whatever the cluster does. viewAnswers are of what it has read.
var (
	ownAnswers = map[string]bool{
		"getLivez": true, "getOpenapi": true, "getMetrics": true, "getHealth": true, "getVersion": true, "getHealthStatus": true, "getMe": true,
		"getCluster": true, "getClusterVersion": true, "getClusterStatus": true, "previewDeployment": true, "getHelmStatus": true,
		"getInstallationCommands": true, "installProvider": true, "upgradeProvider": true, "uninstallProvider": true, "installGpuOperator": true, "upgradeGpuOperator": true,
		"listModels": true, "searchModels": true, "getModelInfo": true, "listGgufFiles": true, "getHuggingFaceLogin": true, "exchangeHuggingFaceCode": true,
		"getSettings": true, "listProviders": true, "getProvider": true,
		"listAikitModels": true, "getAikitModel": true, "previewAikitBuild": true, "buildAikitImage": true,
		"estimateCost": true, "getInstancePrice": true, "listGpuModels": true, "normalizeGpuLabel": true,
		"getAiConfiguratorStatus": true, "analyzeModel": true, "normalizeGpuProduct": true,
	}
	viewAnswers = map[string]bool{
		"getReadyz": true, "getHealthNodes": true, "listNodes": true, "listDeployments": true, "getDeployment": true, "listDeploymentPods": true, "getPendingReasons": true,
		"listRuntimes": true, "getGpuCapacity": true, "getGpuCapacityDetailed": true, "listOperations": true, "getAutoscalerDetection": true, "getAutoscalerStatus": true,
		"getModelFit": true, "getStream": true, "getNodePoolCosts": true,
	}
)

// TestAnAPIServerThatIsDown: what needs it is answered with 503 and never as if there were nothing. What was read before is
// shown, and what the server knows by itself.
func TestAnAPIServerThatIsDown(t *testing.T) {
	cluster := shared.Cluster(t)
	b := openBook(t)
	config := cluster.Config()
	u, err := url.Parse(config.Host)
	require.NoError(t, err)
	g := newGate(t, u.Host)
	u.Host = g.Addr().String()
	config.Host = u.String()
	warm := startAlone(t, kubeconfig(t, config), "--huggingface-url="+startHub(t))
	closed := cluster.Config()
	closed.Host = "https://" + freeAddress(t).String()
	cold := startAlone(t, kubeconfig(t, closed))

	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	s := stage{namespace: devcluster.Namespace(t, cluster), fresh: "fresh-down", planted: (&world{own: "own", other: "other"}).planted()}
	s.planted[s.namespace] = s.planted["own"]
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, http.StatusOK, ask(t.Context(), t, client, http.MethodGet, warm+"/readyz").status)
		for _, d := range read[api.DeploymentList](c, ask(t.Context(), t, client, http.MethodGet, warm+"/api/deployments?phase=Running")).Deployments {
			if d.Endpoint != nil {
				s.deployed = deployment{d.Namespace, d.Provider, d.Name, d.ModelId}
				return
			}
		}
		require.Fail(c, "nothing runs")
	}, patience, 200*time.Millisecond)
	g.close()

	for name, tc := range map[string]struct {
		address string
		viewed  []int // the status of what comes of the view
	}{
		"it was never there":    {cold, []int{http.StatusServiceUnavailable}},
		"it is there no longer": {warm, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			s.page = tc.address + "/page"
			examples := s.examples()
			for _, o := range b.all {
				t.Run(o.OperationID, func(t *testing.T) {
					e := exampleOf(t, examples, o)
					target := e.target(o)
					want := []int{http.StatusServiceUnavailable}
					switch {
					case ownAnswers[o.OperationID]:
						want = e.statuses()
					case viewAnswers[o.OperationID] && tc.viewed == nil:
						want = e.statuses()
					}
					if o.OperationID == "getStream" { // says of each kind that it is not known
						got := ask(t.Context(), t, client, http.MethodHead, tc.address+target)
						require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, got.status)
						return
					}
					switch o.OperationID {
					case "scaleDeployment": // of one that is there
						e.path, e.query = examples["getDeployment"].path, examples["getDeployment"].query
						target = e.target(o)
					case "deleteDeployment":
						e.path, e.query = examples["getDeployment"].path, examples["getDeployment"].query
						target = e.target(o)
					}
					got := send(t.Context(), t, client, o.method, tc.address+target, jsonOf(t, e.body), e.header...)
					require.Contains(t, want, got.status, got.body)
					b.check(t, o, target, got)
					if o.OperationID == "getSettings" {
						require.Equal(t, tc.viewed == nil, read[api.Settings](t, got).State.Synced)
					}
				})
			}
		})
	}
}
