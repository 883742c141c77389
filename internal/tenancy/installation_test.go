package tenancy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// patience is how long a test waits for what has to come.
const patience = 90 * time.Second

// installation is KubeFoundry, installed from its manifests. Its server runs here instead of in a pod.
type installation struct {
	cluster *devcluster.Cluster
	url     string         // of the server itself
	nats    string         // the address of the NATS server in it
	roots   *x509.CertPool // of its certificate
	log     *synced
}

// synced is a buffer that a process may write to while it is read.
type synced struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// binary is built once for all tests of a run.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kubefoundry-tenancy-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubefoundry")
	out, err := exec.Command("go", "build", "-o", path, "github.com/kubefoundry/kubefoundry/cmd/kubefoundry").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return path, err
})

// install applies the manifests, and runs the server with these further flags until the test ends. It listens on 127.x.y.z,
// which the API server reaches as 10.x.y.z.
func install(t *testing.T, cluster *devcluster.Cluster, flags ...string) *installation {
	t.Helper()
	built, err := binary()
	require.NoError(t, err)
	require.NoError(t, deploy.Apply(t.Context(), cluster.Config()))
	admin, err := kubernetes.NewForConfig(cluster.Config())
	require.NoError(t, err)
	scale, err := admin.AppsV1().Deployments(deploy.Namespace).GetScale(t.Context(), "kubefoundry", metav1.GetOptions{})
	require.NoError(t, err)
	scale.Spec.Replicas = 0
	_, err = admin.AppsV1().Deployments(deploy.Namespace).UpdateScale(t.Context(), "kubefoundry", scale, metav1.UpdateOptions{})
	require.NoError(t, err)

	address, nats := freeAddress(t), freeAddress(t)
	point(t, admin, int32(address.Port)) //nolint:gosec // a port

	i := &installation{cluster: cluster, url: "https://" + address.String(), nats: nats.String(), log: &synced{}}
	account := cluster.ServiceAccount(t, deploy.Namespace, "kubefoundry")
	command := exec.Command(built, append([]string{ //nolint:noctx,gosec // ended below
		"serve", "--kubeconfig", kubeconfig(t, account.Config()), "--authentication=on", "--listen=" + address.String(),
		"--tls-service=kubefoundry", "--namespace=" + deploy.Namespace, "--log-level=debug", "--request-rate=0", "--nats-listen=" + i.nats,
	}, append(alone(t), flags...)...)...)
	command.Stderr = i.log
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		force := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
		defer force.Stop()
		if err := command.Wait(); err != nil || t.Failed() {
			t.Logf("kubefoundry: %v\n%s", err, i.log)
		}
	})
	var authority []byte
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		secret, err := admin.CoreV1().Secrets(deploy.Namespace).Get(t.Context(), "kubefoundry-serving-certificate", metav1.GetOptions{})
		require.NoError(c, err)
		authority = secret.Data["ca.crt"]
		i.roots = x509.NewCertPool()
		require.True(c, i.roots.AppendCertsFromPEM(authority))
		response, err := i.client().Get(i.url + "/readyz") //nolint:noctx // a test
		require.NoError(c, err)
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		require.Equal(c, http.StatusOK, response.StatusCode, "%s", body)
	}, patience, 100*time.Millisecond)
	require.NoError(t, cluster.AwaitAggregated(t.Context(), devcluster.Aggregated{
		Group: aggregation.Group, Version: aggregation.Version, Namespace: deploy.Namespace, Service: "kubefoundry",
	}))
	return i
}

// alone are flags that keep a server from asking anybody beyond the cluster: nobody listens there.
func alone(t *testing.T) []string {
	t.Helper()
	nobody := "http://" + freeAddress(t).String()
	flags := []string{"--huggingface-url=" + nobody, "--azure-prices-url=" + nobody, "--aiconfigurator=none"}
	for _, of := range []string{"dynamo", "kaito", "kaito-crds", "karpenter-crds", "kuberay", "nvidia"} {
		flags = append(flags, "--install-sources="+of+"="+nobody)
	}
	return flags
}

func freeAddress(t *testing.T) *net.TCPAddr {
	t.Helper()
	free, err := net.Listen("tcp", "127.99.1.1:0") //nolint:noctx // a test
	require.NoError(t, err)
	require.NoError(t, free.Close())
	return free.Addr().(*net.TCPAddr)
}

// point leads the Service to a port of this machine.
func point(t *testing.T, admin kubernetes.Interface, port int32) {
	t.Helper()
	ready, name := true, "https"
	slices := admin.DiscoveryV1().EndpointSlices(deploy.Namespace)
	err := slices.Delete(t.Context(), "kubefoundry-test", metav1.DeleteOptions{})
	require.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
	_, err = slices.Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "kubefoundry-test", Labels: map[string]string{discoveryv1.LabelServiceName: "kubefoundry"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.99.1.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// kubeconfig writes a client's configuration to a file.
func kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData, CertificateAuthority: config.CAFile}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, file))
	return file
}

// client reaches the server itself, with certificates of its own if any are given.
func (i *installation) client(certificates ...tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: i.roots, ServerName: "kubefoundry." + deploy.Namespace + ".svc", Certificates: certificates, MinVersion: tls.VersionTLS12},
	}}
}

// answer is a response whose body was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request. Headers are given as name, value, name, value, …
func ask(ctx context.Context, t testing.TB, client *http.Client, method, url string, header ...string) answer {
	t.Helper()
	return send(ctx, t, client, method, url, "", header...)
}

// send is ask with a body, which is JSON unless a header says otherwise.
func send(ctx context.Context, t testing.TB, client *http.Client, method, url, content string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(content))
	require.NoError(t, err)
	for n := 0; n < len(header); n += 2 {
		request.Header.Add(header[n], header[n+1])
	}
	if content != "" && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}
