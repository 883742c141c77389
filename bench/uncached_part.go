package main

import (
	"context"
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// uncachedPart answers each request by listing the runtimes' custom resources from the API server and projecting them as
// KubeFoundry does. It does not ask for pods and events, without which a real answer would be poorer than KubeFoundry's.
type uncachedPart struct {
	client   dynamic.Interface
	runtimes []runtimes.Runtime
}

func newUncachedPart(kubeconfig string) (*uncachedPart, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit of the client's own
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &uncachedPart{client: client, runtimes: registry.All()}, nil
}

func (p *uncachedPart) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	list := api.DeploymentList{Deployments: []api.Deployment{}}
	for _, rt := range p.runtimes {
		resource := rt.Info().Resource
		gvr := schema.GroupVersionResource{Group: resource.Group, Version: resource.Versions[0], Resource: resource.Plural}
		objects, err := p.client.Resource(gvr).List(r.Context(), metav1.ListOptions{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		for i := range objects.Items {
			d := runtimes.Assemble(rt, rt.Project(&objects.Items[i]), nil, nil)
			d.UpdatedAt = d.CreatedAt
			list.Deployments = append(list.Deployments, d)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // a client that is gone
}

func (p *uncachedPart) changed(context.Context) error { return nil }

func (p *uncachedPart) close() {}
