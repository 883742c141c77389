package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// runtimeDocument says whether a runtime is installed and whether its operator works.
func (w *Watcher) runtimeDocument(key api.Key) outcome {
	rt := w.runtime(key.ID)
	if rt == nil {
		return outcome{}
	}
	served, version, known := rt.versions()
	if !known || !w.operators.allResolved() {
		return held()
	}
	doc := api.Runtime{
		Id: rt.info.ID, Name: rt.info.Name, DefaultNamespace: rt.info.DefaultNamespace,
		Installed: len(served) > 0,
		Crd:       api.Crd{Name: rt.info.Resource.CRD(), ServedVersions: append([]string{}, served...), Version: version},
	}
	operator := w.operator(rt)
	if operator != nil {
		doc.Operator = &api.Operator{
			Namespace: operator.Namespace, Name: operator.Name,
			Desired: desired(operator), Available: int(operator.Status.AvailableReplicas), Image: image(operator),
		}
		doc.Version = operatorVersion(operator)
	}
	doc.Healthy = version != "" && doc.Operator != nil && doc.Operator.Available > 0
	doc.Message = w.runtimeMessage(rt, &doc)
	return outcome{doc: doc}
}

func (w *Watcher) runtimeMessage(rt *installed, doc *api.Runtime) string {
	kinds := rt.info.Resource.CRD()
	switch op := doc.Operator; {
	case !doc.Installed && op == nil:
		return fmt.Sprintf("%s is not installed: the cluster does not serve %s.", doc.Name, kinds)
	case !doc.Installed:
		return fmt.Sprintf("The operator %s/%s is there, but the cluster does not serve %s: install the CustomResourceDefinition.", op.Namespace, op.Name, kinds)
	case doc.Crd.Version == "":
		return fmt.Sprintf("The cluster serves %s as %s, which cannot be read: only %s can.", kinds,
			strings.Join(doc.Crd.ServedVersions, ", "), strings.Join(rt.info.Resource.Versions, ", "))
	case op == nil && len(w.options.Namespaces) > 0:
		return fmt.Sprintf("%s is served. Its operator was not found in the namespaces %s, the only ones that are watched.", kinds, strings.Join(w.options.Namespaces, ", "))
	case op == nil && !w.operatorsListed():
		return fmt.Sprintf("%s is served. Whether its operator runs is not known, for Deployments may not be listed.", kinds)
	case op == nil:
		return fmt.Sprintf("%s is served, but no operator of %s was found: nothing will run.", kinds, doc.Name)
	case op.Desired == 0:
		return fmt.Sprintf("The operator %s/%s is scaled to zero.", op.Namespace, op.Name)
	case op.Available == 0:
		return fmt.Sprintf("The operator %s/%s is not available: 0 of %d replicas.", op.Namespace, op.Name, op.Desired)
	}
	return doc.Name + " is installed and its operator runs."
}

func (w *Watcher) operatorsListed() bool {
	return !slices.ContainsFunc(w.operators, (*source).blocked)
}

// operator returns the Deployment that runs a runtime's operator; of several the one that is most available.
func (w *Watcher) operator(rt *installed) *appsv1.Deployment {
	var best *appsv1.Deployment
	for _, d := range all[*appsv1.Deployment](w.operators) {
		if slices.Contains(rt.info.Operator.Values, d.Labels[rt.info.Operator.Label]) &&
			(best == nil || d.Status.AvailableReplicas > best.Status.AvailableReplicas) {
			best = d
		}
	}
	return best
}

func desired(d *appsv1.Deployment) int {
	if d.Spec.Replicas == nil {
		return 1 // what Kubernetes makes of a missing number
	}
	return int(*d.Spec.Replicas)
}

func image(d *appsv1.Deployment) string {
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name == "manager" { // beside proxies, kubebuilder's name for what matters
			return c.Image
		}
	}
	if len(d.Spec.Template.Spec.Containers) > 0 {
		return d.Spec.Template.Spec.Containers[0].Image
	}
	return ""
}

// operatorVersion is what the chart's label says, or the image's tag where that is a version.
func operatorVersion(d *appsv1.Deployment) string {
	name, _, _ := strings.Cut(image(d), "@")
	tag := ""
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		tag = name[at+1:]
	}
	if strings.Trim(tag, "0123456789v") == tag { // latest, nightly
		tag = ""
	}
	return cmp.Or(d.Labels["app.kubernetes.io/version"], tag)
}
