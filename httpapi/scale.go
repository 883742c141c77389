package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// scaleTries is how often a scaling is begun anew because somebody else changed the same fields in between.
const scaleTries = 3

// ScaleDeployment changes how many replicas are asked for, in the caller's name.
func (s *Server) ScaleDeployment(w http.ResponseWriter, r *http.Request, name api.Name, p api.ScaleDeploymentParams) {
	var wish api.ScaleRequest
	if err := json.NewDecoder(r.Body).Decode(&wish); err != nil {
		s.fail(w, r, invalidDetails([]api.ErrorDetail{{Field: "body", Message: "must be a JSON object"}}))
		return
	}
	answer, err := s.scale(r, name, p, wish)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Server) scale(r *http.Request, name string, p api.ScaleDeploymentParams, wish api.ScaleRequest) (*api.Scaled, error) {
	d, err := s.deploymentMeant(r, name, p.Namespace, p.Runtime)
	if err == nil && d.Resource.Uid == "" {
		err = fmt.Errorf("deployment %s: its document has no uid", name)
	}
	if err != nil {
		s.record(r, "scale", "deployment "+name, err)
		return nil, err
	}
	rt := s.runtime(d.Provider)
	if rt == nil {
		return nil, fmt.Errorf("deployment %s: runtime %s is not known", name, d.Provider)
	}
	wanted, err := rolesWanted(d, wish)
	if err != nil {
		return nil, err
	}
	var before, after map[string]int
	var grown runtimes.GPUNeeds
	err = s.act(r, "scale", objectOf(d), func(ctx context.Context, config *rest.Config) error {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		objects := client.Resource(resourceOf(d)).Namespace(d.Namespace)
		for try := 1; ; try++ {
			live, err := objects.Get(ctx, d.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if string(live.GetUID()) != d.Resource.Uid {
				return replaced(d)
			}
			before = asked(rt, live)
			if err := unseen(d, wish.Seen, before); err != nil {
				return err
			}
			changes, details := rt.Scale(live, wanted)
			if len(details) > 0 {
				return invalidDetails(details)
			}
			if len(changes) == 0 {
				after = before
				return nil
			}
			scaled, err := objects.Patch(ctx, d.Name, types.JSONPatchType, jsonPatch(d.Resource.Uid, changes),
				metav1.PatchOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
			if isOvertaken(err) {
				if try < scaleTries {
					continue
				}
				return api.Errorf(api.ErrorCodeConflict, "cannot scale %s: somebody else keeps changing it; look at it and try again", objectOf(d))
			}
			if err != nil {
				return err
			}
			after = asked(rt, scaled)
			grown = growth(rt, live, scaled)
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	message := "Deployment scaled successfully"
	if maps.Equal(before, after) {
		message = "Deployment has these replicas already"
	}
	return &api.Scaled{
		Message: message, Name: d.Name, Namespace: d.Namespace, Provider: d.Provider, Roles: after,
		Warnings: s.fitWarnings(r, grown, d.ModelId, 0),
	}, nil
}

func replaced(d *api.Deployment) error {
	return api.Errorf(api.ErrorCodeConflict, "cannot scale %s: it was deleted and created anew since it was read; look at the new one first", objectOf(d))
}

// rolesWanted says which roles are meant: replicas are those of the only role that holds the model.
func rolesWanted(d *api.Deployment, wish api.ScaleRequest) (map[string]int, error) {
	var details []api.ErrorDetail
	wanted := maps.Clone(wish.Roles)
	switch {
	case wish.Replicas == nil && len(wish.Roles) == 0:
		details = append(details, api.ErrorDetail{Field: "replicas", Message: "must be given, or roles"})
	case wish.Replicas != nil && len(wish.Roles) > 0:
		details = append(details, api.ErrorDetail{Field: "replicas", Message: "must not be given beside roles"})
	case wish.Replicas != nil:
		var serving []string
		for _, role := range d.Roles {
			if role.Name == runtimes.RoleWorker || role.Name == runtimes.RolePrefill || role.Name == runtimes.RoleDecode {
				serving = append(serving, role.Name)
			}
		}
		if len(serving) != 1 {
			details = append(details, api.ErrorDetail{
				Field: "replicas", Message: "does not say whose replicas; say it with roles: " + strings.Join(serving, ", "),
			})
			break
		}
		wanted = map[string]int{serving[0]: *wish.Replicas}
	}
	if len(details) > 0 {
		return nil, invalidDetails(details)
	}
	return wanted, nil
}

// asked are the replicas that a custom resource asks for, whatever its operator has made of that so far.
func asked(rt runtimes.Runtime, o *unstructured.Unstructured) map[string]int {
	roles := map[string]int{}
	for _, role := range specOf(rt, o).Deployment.Roles {
		roles[role.Name] = role.Desired
	}
	return roles
}

func specOf(rt runtimes.Runtime, o *unstructured.Unstructured) runtimes.Projection {
	spec := maps.Clone(o.Object)
	delete(spec, "status")
	return rt.Project(&unstructured.Unstructured{Object: spec})
}

// growth is what a scaling asks for more.
func growth(rt runtimes.Runtime, before, after *unstructured.Unstructured) runtimes.GPUNeeds {
	was, is := runtimes.NeedsOf(specOf(rt, before)), runtimes.NeedsOf(specOf(rt, after))
	return runtimes.GPUNeeds{Total: is.Total - was.Total, Replica: is.Replica}
}

// unseen tells that the caller has seen other replicas than there are.
func unseen(d *api.Deployment, seen, there map[string]int) error {
	for _, role := range slices.Sorted(maps.Keys(seen)) {
		if n, ok := there[role]; !ok || n != seen[role] {
			return api.Errorf(api.ErrorCodeConflict, "cannot scale %s: %s has %d replicas by now, not %d; look at it again", objectOf(d), role, n, seen[role])
		}
	}
	return nil
}

// jsonPatch makes the changes, if the object is the one that was read and nobody has changed the same fields since.
func jsonPatch(uid string, changes []runtimes.Change) []byte {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	operations := []operation{{"test", "/metadata/uid", uid}}
	for _, change := range changes {
		var path strings.Builder
		for _, step := range change.Path {
			path.WriteByte('/')
			path.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(fmt.Sprint(step)))
		}
		if change.Was != nil {
			operations = append(operations, operation{"test", path.String(), change.Was})
		}
		operations = append(operations, operation{"add", path.String(), change.To}) // which replaces a field that is there
	}
	b, _ := json.Marshal(operations) // texts and numbers
	return b
}

// isOvertaken tells that a test of a JSON patch has failed, which the API server has no reason of its own for.
func isOvertaken(err error) bool {
	if apierrors.IsConflict(err) {
		return true
	}
	var answer apierrors.APIStatus
	return errors.As(err, &answer) && answer.Status().Code == http.StatusUnprocessableEntity &&
		strings.Contains(err.Error(), "the server rejected our request due to an error in our request")
}
