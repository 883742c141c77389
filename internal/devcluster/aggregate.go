package devcluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// availableTimeout bounds the way of an aggregated API to being available. The
// API server looks at once when something changes, and else every 30 s.
const availableTimeout = time.Minute

var errNotLoopback = errors.New("it has to be 127.a.b.c:port, for the API server to reach it as 10.a.b.c:port")

// Aggregated is an API that a server on this machine serves for the cluster.
type Aggregated struct {
	Group, Version string
	// Namespace and Service that the API server is led to. The namespace exists;
	// the certificate of the server is for <service>.<namespace>.svc.
	Namespace, Service string
	// Listener is the address of the server, "127.a.b.c:port", with an a of at
	// least 64: a pod may have what is below.
	Listener string
	// CABundle is the authority of the server's certificate, as PEM. It may be
	// empty if the server writes it to the APIService.
	CABundle []byte
}

// APIServices is the resource of aggregated APIs.
func APIServices() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
}

func (a Aggregated) name() string { return a.Version + "." + a.Group }

// Aggregate makes the Service with its EndpointSlice and the APIService, in
// place of what has their names, and does not wait: see [Cluster.AwaitAggregated].
// An APIService whose server has ended keeps namespaces from being deleted, so
// in a cluster that lives longer it has to go with [Cluster.Withdraw].
func (c *Cluster) Aggregate(ctx context.Context, a Aggregated) error {
	address, err := netip.ParseAddrPort(a.Listener)
	if err != nil {
		return fmt.Errorf("aggregated API %s: listener %q: %w", a.name(), a.Listener, err)
	}
	if !address.Addr().Is4() || !address.Addr().IsLoopback() {
		return fmt.Errorf("aggregated API %s: listener %s: %w", a.name(), a.Listener, errNotLoopback)
	}
	if err := c.Withdraw(ctx, a); err != nil {
		return err
	}
	client, aggregation, err := c.clients()
	if err != nil {
		return fmt.Errorf("aggregated API %s: %w", a.name(), err)
	}
	service, slice := a.service(address)
	if _, err := client.CoreV1().Services(a.Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("aggregated API %s: service: %w", a.name(), err)
	}
	if _, err := client.DiscoveryV1().EndpointSlices(a.Namespace).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("aggregated API %s: endpoints: %w", a.name(), err)
	}
	if _, err := aggregation.Resource(APIServices()).Create(ctx, a.apiService(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("aggregated API %s: %w", a.name(), err)
	}
	return nil
}

func (a Aggregated) service(address netip.AddrPort) (*corev1.Service, *discoveryv1.EndpointSlice) {
	const portName = "https"
	inCluster := address.Addr().As4()
	inCluster[0] = 10
	port := int32(address.Port())
	named := metav1.ObjectMeta{Name: a.Service, Namespace: a.Namespace}
	service := &corev1.Service{
		ObjectMeta: named,
		// No selector: nobody but this writes the endpoints.
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: portName, Port: 443}}},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  named,
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{netip.AddrFrom4(inCluster).String()}}},
		Ports:       []discoveryv1.EndpointPort{{Name: new(portName), Port: &port}},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: a.Service}
	return service, slice
}

func (a Aggregated) apiService() *unstructured.Unstructured {
	spec := map[string]any{
		"group": a.Group, "version": a.Version,
		"groupPriorityMinimum": int64(1000), "versionPriority": int64(10),
		"service": map[string]any{"namespace": a.Namespace, "name": a.Service, "port": int64(443)},
	}
	if len(a.CABundle) > 0 {
		spec["caBundle"] = base64.StdEncoding.EncodeToString(a.CABundle)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": a.name()},
		"spec":     spec,
	}}
}

// AwaitAggregated waits until the API server finds that the server answers.
func (c *Cluster) AwaitAggregated(ctx context.Context, a Aggregated) error {
	_, aggregation, err := c.clients()
	if err != nil {
		return fmt.Errorf("aggregated API %s: %w", a.name(), err)
	}
	last := "not looked at yet"
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, availableTimeout, true, func(ctx context.Context) (bool, error) {
		there, err := aggregation.Resource(APIServices()).Get(ctx, a.name(), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		conditions, _, _ := unstructured.NestedSlice(there.Object, "status", "conditions")
		for _, condition := range conditions {
			if m, ok := condition.(map[string]any); ok && m["type"] == "Available" {
				last = fmt.Sprintf("%v: %v", m["reason"], m["message"])
				return m["status"] == "True", nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("aggregated API %s is not available (%s): %w", a.name(), last, err)
	}
	return nil
}

// Withdraw deletes what [Cluster.Aggregate] made. What is not there is fine.
func (c *Cluster) Withdraw(ctx context.Context, a Aggregated) error {
	client, aggregation, err := c.clients()
	if err != nil {
		return fmt.Errorf("aggregated API %s: %w", a.name(), err)
	}
	for _, err := range []error{
		aggregation.Resource(APIServices()).Delete(ctx, a.name(), metav1.DeleteOptions{}),
		client.DiscoveryV1().EndpointSlices(a.Namespace).Delete(ctx, a.Service, metav1.DeleteOptions{}),
		client.CoreV1().Services(a.Namespace).Delete(ctx, a.Service, metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("aggregated API %s: withdraw: %w", a.name(), err)
		}
	}
	return nil
}

func (c *Cluster) clients() (kubernetes.Interface, dynamic.Interface, error) {
	config := c.Config()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	aggregation, err := dynamic.NewForConfig(config)
	return client, aggregation, err
}
