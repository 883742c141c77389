package auth

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

func TestRightsInWords(t *testing.T) {
	t.Parallel()
	rights := RightsFor(map[string]Resource{"kaito": {"kaito.sh", "workspaces"}}, "kubefoundry-system")
	for class, want := range map[api.Class]string{
		{Kind: api.KindDeployments, Part: "kaito"}: "list workspaces.kaito.sh and list pods in the namespace",
		{Kind: api.KindPods}:                       "list pods in the namespace",
		{Kind: api.KindNodes}:                      "list nodes",
		{Kind: api.KindPools}:                      "list nodes",
		{Kind: api.KindAutoscaler}:                 "get configmaps kube-system/cluster-autoscaler-status",
		{Kind: api.KindCapacity}:                   "",
		{Kind: api.KindRuntimes}:                   "",

		{Kind: api.KindOperations, Part: operations.PartInstall}: "list configmaps in the namespace kubefoundry-system",
		{Kind: api.KindOperations, Part: operations.PartBuild}:   "list jobs.batch in the namespace",
	} {
		require.Contains(t, rights, class)
		require.Equal(t, want, needs(rights[class]))
	}
}

// A kind without a rule would be hidden from everybody.
func TestEveryKindHasARule(t *testing.T) {
	t.Parallel()
	ruled := map[api.Kind]bool{}
	for class := range RightsFor(map[string]Resource{"kaito": {"kaito.sh", "workspaces"}}, "kubefoundry-system") {
		ruled[class.Kind] = true
	}
	for _, kind := range api.Kinds() {
		require.True(t, ruled[kind], kind)
	}
	require.Len(t, ruled, len(api.Kinds()), "and none is ruled that nobody can ask for")
}

func TestAGrantEndsWhenItSays(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.True(t, Grant{}.Valid(now), "one without an end")
	require.True(t, Grant{Until: now.Add(1)}.Valid(now))
	require.False(t, Grant{Until: now}.Valid(now))
}
