package serving

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// apiServiceName is the aggregated API that leads to this server.
const apiServiceName = "v1alpha1.live.kubefoundry.io"

func apiServices() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
}

// bundle is what the API server trusts when it forwards requests to this server: spec.caBundle of the APIService.
type bundle struct {
	apiServices        dynamic.ResourceInterface
	namespace, service string
	log                *zap.Logger
	said               string // the last thing that was logged, to say it once
}

func newBundle(o Options) *bundle {
	return &bundle{
		apiServices: o.Aggregation.Resource(apiServices()), namespace: o.Namespace, service: o.Service,
		log: o.Log.With(zap.String("apiservice", apiServiceName)),
	}
}

// publish writes the authority to the APIService if that is there, leads here and has another. A failure is logged, once
// until something else happens.
func (b *bundle) publish(ctx context.Context, ca []byte) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	there, err := b.apiServices.Get(ctx, apiServiceName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		b.say(zapcore.InfoLevel, "no APIService: the API is not reachable through Kubernetes, only by its own address")
		return
	case err != nil:
		b.fail(ctx, "get", err)
		return
	}
	if owner := serviceOf(there); owner != b.namespace+"/"+b.service {
		b.say(zapcore.WarnLevel, fmt.Sprintf("the APIService leads to the service %q and not to this one, %s/%s: "+
			"its caBundle is left alone; there is room for one installation per cluster", owner, b.namespace, b.service))
		return
	}
	encoded, _, _ := unstructured.NestedString(there.Object, "spec", "caBundle")
	if old, err := base64.StdEncoding.DecodeString(encoded); err == nil && bytes.Equal(old, ca) {
		b.said = ""
		return
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{
		"caBundle": ca,
		// The API server takes only one of the two.
		"insecureSkipTLSVerify": false,
	}})
	if err == nil {
		_, err = b.apiServices.Patch(ctx, apiServiceName, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		b.fail(ctx, "patch", err)
		return
	}
	b.said = ""
	b.log.Info("wrote the authority of the serving certificate to the caBundle", zap.Bool("replaced", encoded != ""))
}

// serviceOf is the namespace and name of the service that an APIService leads to.
func serviceOf(apiService *unstructured.Unstructured) string {
	namespace, _, _ := unstructured.NestedString(apiService.Object, "spec", "service", "namespace")
	name, _, _ := unstructured.NestedString(apiService.Object, "spec", "service", "name")
	return namespace + "/" + name
}

func (b *bundle) fail(ctx context.Context, doing string, err error) {
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled): // the end of the server, not of a request
	case apierrors.IsForbidden(err):
		b.say(zapcore.ErrorLevel, fmt.Sprintf("cannot %s the APIService, so the API server does not trust this server: allow its "+
			"ServiceAccount to get and patch this APIService, or set spec.caBundle to ca.crt of the Secret %s/%s-serving-certificate: %v",
			doing, b.namespace, b.service, err))
	default:
		b.say(zapcore.WarnLevel, fmt.Sprintf("cannot %s the APIService; trying again every minute: %v", doing, err))
	}
}

func (b *bundle) say(level zapcore.Level, text string) {
	if b.said != text {
		b.said = text
		b.log.Log(level, text)
	}
}
