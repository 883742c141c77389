package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

func TestAll(t *testing.T) {
	var ids []string
	unique := make(map[string]string)
	for _, rt := range registry.All() {
		i := rt.Info()
		ids = append(ids, i.ID)
		for _, name := range []string{"id " + i.ID, "name " + i.Name, "crd " + i.Resource.CRD()} {
			require.Empty(t, unique[name], "%s twice", name)
			unique[name] = i.ID
		}
		require.Equal(t, rt.Info(), registry.Get(i.ID).Info())
	}
	require.Equal(t, []string{"dynamo", "kuberay", "kaito"}, ids)
	require.Nil(t, registry.Get("other"))
}
