package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// repository is a chart repository, a folder of manifests, and a registry.
type repository struct {
	*httptest.Server

	mu     sync.Mutex
	charts map[string][]byte // name-version
	files  map[string]string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{charts: map[string][]byte{}, files: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// chart publishes one, of files with these contents beside Chart.yaml.
func (r *repository) chart(t *testing.T, name, version string, files map[string]string) {
	t.Helper()
	all := map[string]string{"Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\nappVersion: %q\n", name, version, version)}
	maps.Copy(all, files)
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	archived := tar.NewWriter(zipped)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		require.NoError(t, archived.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(all[file])), Typeflag: tar.TypeReg}))
		_, err := archived.Write([]byte(all[file]))
		require.NoError(t, err)
	}
	require.NoError(t, archived.Close())
	require.NoError(t, zipped.Close())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.charts[name+"-"+version] = b.Bytes()
}

// file publishes a file.
func (r *repository) file(path, content string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[path] = content
}

func (r *repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	path := request.URL.Path
	file, isFile := r.files[path]
	r.mu.Unlock()
	r.mu.Lock()
	archive := r.charts[strings.TrimSuffix(strings.TrimPrefix(path, "/charts/"), ".tgz")]
	r.mu.Unlock()
	switch {
	case path == "/charts/index.yaml":
		_, _ = w.Write(r.index())
	case strings.HasPrefix(path, "/v2/"):
		r.registry(w, strings.TrimPrefix(path, "/v2/"))
	case isFile:
		_, _ = w.Write([]byte(file))
	case archive != nil:
		_, _ = w.Write(archive)
	default:
		http.NotFound(w, request)
	}
}

func (r *repository) index() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := map[string][]map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(r.charts)) {
		at := strings.LastIndex(id, "-")
		sum := sha256.Sum256(r.charts[id])
		entries[id[:at]] = append(entries[id[:at]], map[string]any{
			"apiVersion": "v2", "name": id[:at], "version": id[at+1:], "urls": []string{id + ".tgz"}, "digest": hex.EncodeToString(sum[:]),
		})
	}
	b, _ := json.Marshal(map[string]any{"apiVersion": "v1", "entries": entries})
	return b
}

// registry answers as an OCI registry: a manifest of a chart, its configuration, and its layer.
func (r *repository) registry(w http.ResponseWriter, path string) {
	name, what, _ := strings.Cut(strings.TrimPrefix(path, "charts/"), "/")
	kind, reference, _ := strings.Cut(what, "/")
	digest := func(b []byte) string {
		sum := sha256.Sum256(b)
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, archive := range r.charts {
		version, ok := strings.CutPrefix(id, name+"-")
		if !ok {
			continue
		}
		config, _ := json.Marshal(map[string]any{"apiVersion": "v2", "name": name, "version": version})
		part := func(media string, b []byte) map[string]any {
			return map[string]any{"mediaType": media, "digest": digest(b), "size": len(b)}
		}
		manifest, _ := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
			"config": part("application/vnd.cncf.helm.config.v1+json", config),
			"layers": []any{part("application/vnd.cncf.helm.chart.content.v1.tar+gzip", archive)},
		})
		switch {
		case kind == "manifests" && (reference == version || reference == digest(manifest)):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Docker-Content-Digest", digest(manifest))
			_, _ = w.Write(manifest)
			return
		case kind == "blobs" && reference == digest(config):
			_, _ = w.Write(config)
			return
		case kind == "blobs" && reference == digest(archive):
			_, _ = w.Write(archive)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// operatorChart is files of a chart with an operator, a definition of a group, and an object of its version.
func operatorChart(version string, more map[string]string) map[string]string {
	files := map[string]string{
		"templates/operator.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: kuberay-operator
  labels: {app.kubernetes.io/name: kuberay-operator, app.kubernetes.io/version: "` + version + `"}
spec:
  replicas: {{ .Values.replicas | default 1 }}
  selector: {matchLabels: {app: operator}}
  template:
    metadata: {labels: {app: operator}}
    spec:
      containers: [{name: manager, image: "registry.example/operator:` + version + `"}]
`,
		"templates/of-version.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-" + strings.ReplaceAll(version, ".", "-") + "}\n",
		"templates/role.yaml": `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: kuberay-operator}
rules: []
`,
		"crds/rayservices.yaml": crdFile("ray.io", "rayservices", "RayService"),
	}
	maps.Copy(files, more)
	return files
}

// blockedHook is a Job that never ends, before an installation and an upgrade.
var blockedHook = map[string]string{"templates/hook.yaml": `apiVersion: batch/v1
kind: Job
metadata:
  name: hook
  annotations: {helm.sh/hook: "pre-install,pre-upgrade"}
spec:
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {nowhere: "true"}
      containers: [{name: hook, image: registry.example/hook:1}]
`}

func crdFile(group, plural, kind string) string {
	return fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {plural: %[2]s, singular: %[3]s, kind: %[4]s, listKind: %[4]sList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, group, plural, strings.ToLower(kind), kind)
}
