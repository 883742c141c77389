package runtimetest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	sigsyaml "sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/configtest"
)

// Build holds what a runtime builds and scales to what is expected of every one, over configurations of all kinds.
func Build(t *testing.T, rt runtimes.Runtime) {
	t.Run("gives back what was asked for", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { buildsBack(t, rt) })
	})
	t.Run("scales", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { scales(t, rt) })
	})
	t.Run("tells everything that is wrong", func(t *testing.T) { tellsAll(t, rt) })
	t.Run("lets nothing raise its rights", func(t *testing.T) { raisesNothing(t, rt) })
}

func buildsBack(t *rapid.T, rt runtimes.Runtime) {
	c, want := configtest.Draw(t, rt.Info().ID)
	before := encoded(t, c)
	m, details := rt.Build(c)
	require.Empty(t, details)
	require.Equal(t, before, encoded(t, c), "the configuration was changed")
	again, _ := rt.Build(c)
	require.Empty(t, cmp.Diff(m, again), "not the same twice")

	require.Equal(t, c.Name, m.Primary.GetName())
	require.Equal(t, c.Namespace, m.Primary.GetNamespace())
	require.Equal(t, rt.Info().Resource.Kind, m.Primary.GetKind())
	names := map[string]bool{}
	for _, o := range append([]*unstructured.Unstructured{m.Primary}, m.Companions...) {
		require.Equal(t, runtimes.ManagedBy, o.GetLabels()[runtimes.LabelManagedBy])
		require.Equal(t, c.Name, o.GetLabels()[runtimes.LabelInstance])
		require.False(t, names[o.GetKind()+o.GetName()], "twice")
		names[o.GetKind()+o.GetName()] = true
		require.LessOrEqual(t, len(o.GetName()), 63)
		require.NotPanics(t, func() { runtime.DeepCopyJSON(o.Object) }, "holds what is no JSON")
	}

	d := rt.Project(m.Primary).Deployment
	require.Equal(t, want.Model, d.ModelId)
	require.Equal(t, want.Served, d.ServedModelName)
	require.Equal(t, want.Engine, d.Engine)
	require.Equal(t, want.Mode, d.Mode)
	require.Equal(t, want.Replicas, servingRoles(d))
	require.Equal(t, want.GPUs, d.Gpus)
	require.Equal(t, want.GPUs, runtimes.NeedsOf(rt.Project(m.Primary)).Total)
	for _, text := range want.Texts {
		isData(t, m.Primary.Object, text)
	}
	noShell(t, m.Primary.Object)
}

func encoded(t require.TestingT, value any) string {
	b, err := json.Marshal(value)
	require.NoError(t, err)
	return string(b)
}

// servingRoles are the replicas that are asked for, of roles that hold the model.
func servingRoles(d api.Deployment) map[string]int {
	roles := map[string]int{}
	for _, role := range d.Roles {
		switch role.Name {
		case runtimes.RoleWorker, runtimes.RolePrefill, runtimes.RoleDecode:
			roles[role.Name] = role.Desired
		}
	}
	return roles
}

var beforeValue = regexp.MustCompile(`^--[a-zA-Z0-9-]+=$|^huggingface://$`)

// isData: a text of the user's is in the manifest, as a whole, alone or as the value of a flag.
func isData(t require.TestingT, object map[string]any, text string) {
	if text == "" {
		return
	}
	found := false
	leaves(object, func(leaf string) {
		for _, form := range []string{text, runtimes.Literal(text)} {
			if before, ok := strings.CutSuffix(leaf, form); ok && (before == "" || beforeValue.MatchString(before)) {
				found = true
			}
		}
	})
	require.True(t, found, "%q is not in the manifest as it is: %s", text, encoded(t, object))
}

// leaves visits every text in an object, and what is in a text that is the YAML of an object.
func leaves(value any, visit func(string)) {
	switch value := value.(type) {
	case map[string]any:
		for name, v := range value {
			if text, ok := v.(string); ok && name == "serveConfigV2" {
				var config map[string]any
				if sigsyaml.Unmarshal([]byte(text), &config) == nil {
					leaves(config, visit)
				}
			}
			leaves(v, visit)
		}
	case []any:
		for _, v := range value {
			leaves(v, visit)
		}
	case string:
		visit(value)
	}
}

// noShell: no container starts a shell.
func noShell(t require.TestingT, value any) {
	switch value := value.(type) {
	case map[string]any:
		if command, ok := value["command"].([]any); ok {
			require.False(t, slices.ContainsFunc(command, func(word any) bool {
				return slices.Contains([]any{"sh", "bash", "/bin/sh", "/bin/bash", "-c"}, word)
			}), "%v", command)
		}
		for _, v := range value {
			noShell(t, v)
		}
	case []any:
		for _, v := range value {
			noShell(t, v)
		}
	}
}

// scales: after the changes the roles have what was asked for, the others and all else are as before.
func scales(t *rapid.T, rt runtimes.Runtime) {
	c, want := configtest.Draw(t, rt.Info().ID)
	m, details := rt.Build(c)
	require.Empty(t, details)
	wanted := map[string]int{}
	for role := range want.Replicas {
		if rapid.Bool().Draw(t, role) {
			wanted[role] = rapid.IntRange(0, 20).Draw(t, "replicas of "+role)
			want.Replicas[role] = wanted[role]
		}
	}
	before := m.Primary.DeepCopy()
	changes, details := rt.Scale(m.Primary, wanted)
	require.Empty(t, details)
	require.Empty(t, cmp.Diff(before.Object, m.Primary.Object), "the object was changed")
	scaled := &unstructured.Unstructured{Object: runtimes.Apply(m.Primary.Object, changes)}
	d := rt.Project(scaled).Deployment
	require.Equal(t, want.Replicas, servingRoles(d))
	require.Equal(t, want.Model, d.ModelId)
	require.Equal(t, want.Served, d.ServedModelName)
	again, details := rt.Scale(scaled, wanted)
	require.Empty(t, details)
	require.Empty(t, again, "asked for again, nothing is to be changed")

	_, details = rt.Scale(m.Primary, map[string]int{"no-such-role": 1, runtimes.RoleWorker: -1})
	fields := fieldsOf(details)
	require.Contains(t, fields, "roles.no-such-role")
	require.Contains(t, fields, "roles."+runtimes.RoleWorker)
}

func fieldsOf(details []api.ErrorDetail) []string {
	var fields []string
	for _, d := range details {
		fields = append(fields, d.Field)
	}
	return fields
}

// tellsAll: a configuration in which everything is wrong that can be wrong anywhere is answered with all of it.
func tellsAll(t *testing.T, rt runtimes.Runtime) {
	less, much, both := -1, 5000, "both"
	c := &api.DeploymentConfig{
		Provider: rt.Info().ID, Name: "Not A Name", Namespace: "not_a_namespace", ModelId: "nul\x00", ServedModelName: "nul\x00",
		Mode: "sideways", Image: "not an image", Replicas: &less, PrefillReplicas: &much, DecodeReplicas: &less,
		PrefillGpus: &less, DecodeGpus: &less, ContextLength: -1, MaxNumSeqs: -1,
		Resources:     &api.ConfigResources{Gpu: &less, Cpu: "much", Memory: "-1Gi"},
		RoleResources: map[string]api.ConfigResources{"nobody": {}},
		HfTokenSecret: "No Secret", EngineArgs: map[string]any{"--x": "y", "model": "other"}, ExtraArgs: []string{"--port=1", "nul\x00"},
		Env: []api.ConfigEnv{
			{Name: "1 X"}, {Name: "A", Value: &both, SecretRef: &api.ConfigSecretRef{}}, {Name: "A", SecretRef: &api.ConfigSecretRef{Name: "No Name"}},
		},
		Labels: map[string]string{"no label": "x", "kubefoundry.io/provider": "x"}, Annotations: map[string]string{"a b": ""},
		NodeSelector: map[string]string{"pool": "not a value"},
		Tolerations:  []api.ConfigToleration{{Operator: "Perhaps", Effect: "Never"}}, ImagePullSecrets: []string{""},
		Storage:   &api.ConfigStorage{Size: "big", Claim: "Claim", AccessMode: "Any", MountPath: "models"},
		Overrides: map[string]any{"kind": "Pod", "metadata": map[string]any{"name": "other"}},
	}
	_, details := rt.Build(c)
	fields := fieldsOf(details)
	for _, field := range []string{
		"name", "namespace", "modelId", "servedModelName", "mode", "image", "replicas", "prefillReplicas", "decodeReplicas", "prefillGpus",
		"decodeGpus", "contextLength", "maxNumSeqs", "resources.gpu", "resources.cpu", "resources.memory", "roleResources.nobody", "hfTokenSecret",
		"engineArgs.--x", "engineArgs.model", "extraArgs.0", "extraArgs.1", "env.0.name", "env.1", "env.2.name", "env.2.secretRef.name",
		"env.2.secretRef.key", "labels.no label", "labels.kubefoundry.io/provider", "annotations.a b", "nodeSelector.pool",
		"tolerations.0.operator", "tolerations.0.effect", "tolerations.0.key", "imagePullSecrets.0", "storage", "storage.size", "storage.claim",
		"storage.accessMode", "storage.mountPath", "overrides.kind", "overrides.metadata.name",
	} {
		require.Contains(t, fields, field)
	}
	for _, d := range details {
		require.NotEmpty(t, d.Message)
	}
	_, details = rt.Build(&api.DeploymentConfig{})
	require.Subset(t, fieldsOf(details), []string{"name", "namespace"})
}

// raisesNothing: overrides may change much, and give no pod rights.
func raisesNothing(t *testing.T, rt runtimes.Runtime) {
	rapid.Check(t, func(t *rapid.T) {
		c, _ := configtest.Draw(t, rt.Info().ID)
		bad := rapid.SampledFrom([]string{
			"privileged", "hostPath", "hostNetwork", "hostPID", "hostIPC", "hostPort", "serviceAccountName", "capabilities", "allowPrivilegeEscalation",
			"runAsUser", "nodeName", "HostNetwork", "procMount", "automountServiceAccountToken",
		}).Draw(t, "field")
		var patch any = map[string]any{bad: rapid.SampledFrom([]any{true, "x", map[string]any{"a": "b"}, 1.0}).Draw(t, "value")}
		path := bad
		for _, step := range rapid.SliceOfN(rapid.SampledFrom([]string{"spec", "inference", "template", "0"}), 1, 5).Draw(t, "path") {
			if step == "0" {
				patch = []any{patch}
			} else {
				patch = map[string]any{step: patch}
			}
			path = step + "." + path
		}
		c.Overrides = map[string]any{"spec": patch, "annotated": "x"}
		_, details := rt.Build(c)
		require.Equal(t, []string{"overrides.spec." + path}, fieldsOf(details))
	})
	c := rapid.Custom(func(t *rapid.T) *api.DeploymentConfig {
		drawn, _ := configtest.Draw(t, rt.Info().ID)
		return drawn
	}).Example(1)
	deep := map[string]any{}
	for range 1000 {
		deep = map[string]any{"spec": deep}
	}
	c.Overrides = deep
	_, details := rt.Build(c)
	require.Equal(t, []string{"overrides"}, fieldsOf(details))
	c.Overrides = map[string]any{"spec": map[string]any{"hostNetwork": false, "privileged": nil, "other": []any{1.0, "x"}}}
	m, details := rt.Build(c)
	require.Empty(t, details)
	require.Equal(t, []any{int64(1), "x"}, m.Primary.Object["spec"].(map[string]any)["other"])
}
