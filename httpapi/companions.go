package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// Labels of what KubeFoundry makes, and of the deployment that it is for.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelInstance  = "app.kubernetes.io/instance"
	managedByUs    = "kubefoundry"
)

// deleteCompanions deletes, in the caller's name, what KubeFoundry made beside a custom resource and what does not go with it:
// the Service of a KAITO workspace that runs vLLM, whose own Service leads to another port. The deployment is deleted by now,
// so what cannot be deleted as well is no failure: the caller is told, in sentences without a full stop.
func (s *Server) deleteCompanions(r *http.Request, d *api.Deployment) []string {
	if d.Provider != "kaito" || d.Engine != api.EngineVllm {
		return nil
	}
	name := d.Name + "-vllm"
	object := "services " + d.Namespace + "/" + name
	var service *corev1.Service
	services := func(config *rest.Config) (typed.ServiceInterface, error) {
		client, err := typed.NewForConfig(config)
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		return client.Services(d.Namespace), nil
	}
	err := s.asCaller(context.WithoutCancel(r.Context()), r, "look at", object, func(ctx context.Context, config *rest.Config) error {
		client, err := services(config)
		if err != nil {
			return err
		}
		service, err = client.Get(ctx, name, metav1.GetOptions{})
		return ignoreGone(err)
	})
	switch {
	case err != nil:
		return []string{"Its Service " + name + " may be left: " + err.Error()}
	case service.UID == "" || service.DeletionTimestamp != nil || belongsTo(service, d.Resource.Uid): // nothing to do
		return nil
	case service.Labels[labelManagedBy] != managedByUs || service.Labels[labelInstance] != d.Name:
		return []string{"The Service " + name + " is left, for it is not one that KubeFoundry made for this deployment"}
	}
	err = s.act(r, "delete", object, func(ctx context.Context, config *rest.Config) error {
		client, err := services(config)
		if err != nil {
			return err
		}
		err = client.Delete(ctx, name, thisOne(service.UID))
		if isReplaced(err) { // not the one that was looked at
			return nil
		}
		return ignoreGone(err)
	})
	if err != nil {
		return []string{"Its Service " + name + " is left: " + err.Error()}
	}
	return nil
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// belongsTo tells whether the cluster deletes an object with its owner.
func belongsTo(o metav1.Object, uid string) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(owner metav1.OwnerReference) bool { return string(owner.UID) == uid })
}
