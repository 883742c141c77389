package runtimetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// Valid checks what must hold of any document, made of any object.
func Valid(t testing.TB, rt runtimes.Runtime, d api.Deployment) {
	t.Helper()
	require.NoError(t, validate(rt, &d))
	for _, reason := range d.Reasons {
		require.Equal(t, runtimes.Steady(reason.Message), reason.Message, "it changes by itself")
	}
	encoded, err := json.Marshal(d)
	require.NoError(t, err)
	require.NotContains(t, string(encoded), ":null")
	var back api.Deployment
	require.NoError(t, json.Unmarshal(encoded, &back))
}

// validate is Valid without what takes long; it runs many thousand times.
func validate(rt runtimes.Runtime, d *api.Deployment) error {
	var wrong []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	must(d.Phase.Valid(), "phase %q", d.Phase)
	must(d.Engine.Valid(), "engine %q", d.Engine)
	must(d.Mode.Valid(), "mode %q", d.Mode)
	must(d.Provider == rt.Info().ID, "provider %q", d.Provider)
	must(d.Id == api.DeploymentKey(d.Namespace, d.Provider, d.Name).ID, "id %q", d.Id)
	must(d.FrontendService != "", "no frontend service")
	must(d.Conditions != nil && d.Reasons != nil && d.Roles != nil && d.Pods != nil, "a list is null in JSON")
	must(len(d.Pods) <= runtimes.MaxPods && len(d.Pods) <= d.PodCount, "%d pods of %d", len(d.Pods), d.PodCount)
	must(d.Mode == api.ModeDisaggregated || d.PrefillReplicas == nil && d.DecodeReplicas == nil, "roles of another mode")

	must(0 <= d.Replicas.Ready && d.Replicas.Ready <= d.Replicas.Desired, "replicas %+v", d.Replicas)
	must(0 <= d.Replicas.Available && d.Replicas.Available <= d.Replicas.Desired, "replicas %+v", d.Replicas)
	must(d.Gpus >= 0, "%d GPUs", d.Gpus)
	names := make(map[string]bool, len(d.Roles))
	for _, role := range d.Roles {
		must(!names[role.Name], "role %q twice", role.Name)
		must(0 <= role.Ready && role.Ready <= role.Desired && role.GpusPerReplica >= 0, "role %+v", role)
		names[role.Name] = true
	}
	for _, reason := range d.Reasons {
		must(reason.Reason != "" && reason.Message != "", "reason %+v", reason)
	}
	return errors.Join(wrong...)
}
