package deploy_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/deploy"
)

const everything = `
global: {from: a parent chart}
image: {tag: "", digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", pullPolicy: Always}
imagePullSecrets: [registry]
replicas: 3
namespaces: [ml, research]
logLevel: debug
tombstoneRetention: 1h30m
streams: {max: 2000000, maxPerCaller: 20}
requests: {rate: 2.5, burst: 1000000}
corsOrigins: ["https://a.example.com", "http://localhost:3000"]
extraArgs: [--authentication=on]
certificates:
  secretName: certificate
  caBundle: |
    -----BEGIN CERTIFICATE-----
    MA==
    -----END CERTIFICATE-----
apiService: {annotations: {cert-manager.io/inject-ca-from: kubefoundry-system/certificate}}
nats:
  url: "tls://nats.nats.svc:4222"
  credentials: {secretName: nats-user, key: user.creds}
  ca: {secretName: nats-ca}
  clientCertificate: {secretName: nats-certificate}
  bucket: foundry
  replicas: 3
serviceAccount: {name: foundry, annotations: {a: b}}
rbac:
  users:
    - {kind: Group, name: "system:authenticated", apiGroup: rbac.authorization.k8s.io}
    - {kind: ServiceAccount, name: bot, namespace: ml}
metrics:
  annotations: true
  readers: [{kind: ServiceAccount, name: prometheus, namespace: monitoring}]
service: {type: NodePort, annotations: {a: b}}
resources: {requests: {cpu: "1"}, limits: {cpu: "2", memory: 1.5Gi}}
terminationGracePeriodSeconds: 60
podDisruptionBudget: {enabled: true, maxUnavailable: "50%"}
networkPolicy:
  enabled: true
  from: [{ipBlock: {cidr: 10.0.0.0/8}}, {namespaceSelector: {}}]
podAnnotations: {a: b}
podLabels: {c: d}
priorityClassName: system-cluster-critical
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{operator: Exists}]
affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {}}}]}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]
`

func container(t *testing.T, objects []*unstructured.Unstructured) corev1.Container {
	t.Helper()
	return as[appsv1.Deployment](t, find(objects, "Deployment", "kubefoundry")).Spec.Template.Spec.Containers[0]
}

func TestValuesBecomeFlags(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, []string{
		"serve", "--listen=:8443", "--namespace=kubefoundry-system", "--log-level=debug", "--namespaces=ml,research",
		"--tls-certificate=/etc/kubefoundry/tls/tls.crt", "--tls-key=/etc/kubefoundry/tls/tls.key",
		"--tombstone-retention=1h30m", "--max-streams=2000000", "--max-streams-per-caller=20", "--request-rate=2.5",
		"--request-burst=1000000", "--cors-origins=https://a.example.com,http://localhost:3000",
		"--nats-url=tls://nats.nats.svc:4222",
		"--nats-credentials=/etc/kubefoundry/nats-credentials/user.creds", "--nats-ca=/etc/kubefoundry/nats-ca/ca.crt",
		"--nats-certificate=/etc/kubefoundry/nats-certificate/tls.crt", "--nats-key=/etc/kubefoundry/nats-certificate/tls.key",
		"--nats-bucket=foundry", "--nats-replicas=3", "--authentication=on",
	}, container(t, render(t, everything)).Args)

	require.Contains(t, container(t, render(t, "nats: {listen: {enabled: true}}")).Args, "--nats-listen=:4222")
	require.Equal(t, "GOMEMLIMIT 1382MiB", func() string {
		limit := container(t, render(t, everything)).Env[0]
		return limit.Name + " " + limit.Value
	}())
}

func TestValuesChangeRights(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values string
		want   []string
	}{
		"default":                  {"", slices.Concat(always, everywhere("cluster", reads), ownCertificate, impersonation)},
		"no impersonation":         {"impersonation: {enabled: false}", slices.Concat(always, everywhere("cluster", reads), ownCertificate)},
		"some namespaces":          {"namespaces: [ml, research]", slices.Concat(always, everywhere("ml", reads), everywhere("research", reads), ownCertificate, impersonation)},
		"a certificate":            {"certificates: {secretName: certificate}", slices.Concat(always, everywhere("cluster", reads), impersonation)},
		"no aggregation":           {"apiService: {enabled: false}", slices.Concat(always, everywhere("cluster", reads), ownCertificate[:2], impersonation)},
		"rights come from outside": {"rbac: {create: false}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ElementsMatch(t, tc.want, rights(t, render(t, tc.values)))
		})
	}
}

// The plain manifests are the chart's with nothing set, and `make verify` holds them to that; so does this, without make.
func TestTheManifestsAreTheCharts(t *testing.T) {
	t.Parallel()
	require.Equal(t, manifests(t)[1:], render(t, ""))
}

func TestWrongValuesAreRefused(t *testing.T) {
	t.Parallel()
	for values, message := range map[string]string{
		"replica: 2":                                            "'replica' not allowed",
		"nats: {uri: nats://nats}":                              "'uri' not allowed",
		"nats: {url: http://nats}":                              "nats/url",
		"resources: {limits: {memory: 1}}":                      "resources/limits/memory",
		"namespaces: [ML]":                                      "namespaces/0",
		"logLevel: trace":                                       "logLevel",
		"rbac: {users: [alice]}":                                "rbac/users/0",
		"nats: {url: nats://nats, listen: {enabled: true}}":     "subscribe to the external NATS",
		"{replicas: 2, nats: {listen: {enabled: true}}}":        "with more than one replica",
		"certificates: {caBundle: -----BEGIN CERTIFICATE-----}": "belongs to certificates.secretName",
		"nats: {credentials: {secretName: nats}}":               "set nats.url",
	} {
		t.Run(values, func(t *testing.T) {
			t.Parallel()
			_, err := template(t, values)
			require.ErrorContains(t, err, message)
		})
	}
}

func TestTheClusterTakesWhatIsRendered(t *testing.T) {
	c := needCluster(t)
	for _, namespace := range []string{deploy.Namespace, "ml", "research"} {
		c.namespace(t, namespace)
	}
	for name, values := range map[string]string{
		"default":               "",
		"everything":            everything,
		"NATS is listened on":   "{nats: {listen: {enabled: true}}, networkPolicy: {enabled: true, natsFrom: [{podSelector: {}}]}}",
		"several, each alone":   "replicas: 2",
		"roles bound by hand":   "{rbac: {aggregateToDefaultRoles: false}, impersonation: {enabled: false}, apiService: {enabled: false}}",
		"accounts from outside": "{serviceAccount: {create: false, name: default}, rbac: {create: false}}",
		"another name":          "nameOverride: foundry",
	} {
		t.Run(name, func(t *testing.T) { c.apply(t, render(t, values)) })
	}
}

// Its definition is the Prometheus operator's, so no cluster here can say whether it is right.
func TestServiceMonitor(t *testing.T) {
	t.Parallel()
	monitor := find(render(t, "metrics: {serviceMonitor: {enabled: true, labels: {release: prometheus}}}"), "ServiceMonitor", "kubefoundry")
	require.NotNil(t, monitor)
	require.Equal(t, "prometheus", monitor.GetLabels()["release"])
	endpoints, _, err := unstructured.NestedSlice(monitor.Object, "spec", "endpoints")
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"serverName": "kubefoundry.kubefoundry-system.svc",
		"ca":         map[string]any{"secret": map[string]any{"name": "kubefoundry-serving-certificate", "key": "ca.crt"}},
	}, endpoints[0].(map[string]any)["tlsConfig"])
}

func TestThePlainManifestsInstall(t *testing.T) {
	c := needCluster(t)
	c.apply(t, manifests(t))
	require.NoError(t, deploy.Apply(t.Context(), c.config), "again")
	// Pods appear only if the namespace's restrictions and the ServiceAccount let them.
	require.Eventually(t, func() bool {
		pods, err := c.kube.CoreV1().Pods(deploy.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=kubefoundry"})
		return err == nil && len(pods.Items) == 1
	}, waitTime, tick)
}
