package deploy_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A flag that the server does not have would keep it from starting.
func TestTheServerKnowsEveryFlag(t *testing.T) {
	t.Parallel()
	args := container(t, render(t, everything)).Args
	args = append(args, container(t, render(t, "")).Args...)
	uses(t, filepath.Join("..", "cmd", "kubefoundry"))
	help, err := exec.CommandContext(t.Context(), "go", "run", "../cmd/kubefoundry", "serve", "--help").CombinedOutput()
	require.NoError(t, err, string(help))
	for _, arg := range args {
		if flag, _, ok := strings.Cut(arg, "="); ok {
			require.Regexp(t, `(?m)^ +`+flag+` `, string(help))
		}
	}
}
