package tenancy

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

// deleteAsEverybody: whoever may delete with kubectl what they see deletes it here, and nobody else anything.
func deleteAsEverybody(t *testing.T, everybody map[string]*caller) {
	for _, r := range roles {
		c := everybody[r.name]
		for _, by := range []way{direct, through} {
			t.Run(r.name+" "+by.name, func(t *testing.T) {
				var doomed []deployment
				for _, d := range c.world.ours(t) {
					switch shown, may := c.sees.deployments[d.id()].name != "", c.world.mayDelete(t, c.who, d); {
					case d.name == "twin":
					case shown && may:
						d.name += "-doomed-" + strconv.Itoa(len(c.world.known))
						c.world.create(t, d)
						doomed = append(doomed, d)
					case shown:
						refused(t, c.by(by), d, http.StatusForbidden, api.ErrorCodeForbidden)
					default:
						refused(t, c.by(by), d, http.StatusNotFound, api.ErrorCodeNotFound)
					}
				}
				require.Equal(t, r.name == "editor" || r.name == "admin", len(doomed) > 0)
				for _, d := range doomed {
					require.EventuallyWithT(t, func(collect *assert.CollectT) {
						require.Equal(collect, http.StatusOK, c.by(by).get(t, d.target("")).status)
					}, patience, 50*time.Millisecond)
					got := read[api.Message](t, c.by(by).ask(t, http.MethodDelete, d.target("")))
					require.NotEmpty(t, got.Message)
					object := c.world.get(t, d)
					require.True(t, object == nil || object.GetDeletionTimestamp() != nil, d.id())
				}
				for _, d := range doomed { // the next one counts what there is
					require.Eventually(t, func() bool { return c.world.get(t, d) == nil }, patience, 50*time.Millisecond)
				}
			})
		}
	}
}

func refused(t *testing.T, a asking, d deployment, status int, code api.ErrorCode) {
	t.Helper()
	before := a.world.get(t, d)
	require.Equal(t, code, refusal(t, a.ask(t, http.MethodDelete, d.target("")), status).Code)
	after := a.world.get(t, d)
	require.NotNil(t, after, d.id())
	require.Equal(t, before.GetUID(), after.GetUID())
	require.Nil(t, after.GetDeletionTimestamp())
}
