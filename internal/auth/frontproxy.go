package auth

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
)

// The ConfigMap in which the API server says by which certificate it is known, and in which headers it names users.
const (
	proxyNamespace = "kube-system"
	proxyConfigMap = "extension-apiserver-authentication"
)

// proxyHeaders begin every header in which an API server names a user, unless it is configured in an unusual way.
const proxyHeaders = "X-Remote-"

// frontProxy believes what the API server says of users, and nobody else.
type frontProxy struct {
	ca      *dynamiccertificates.ConfigMapCAController
	headers *headerrequest.RequestHeaderAuthRequestController
	request authenticator.Request
	log     *zap.Logger
}

func newFrontProxy(client kubernetes.Interface, log *zap.Logger) (*frontProxy, error) {
	ca, err := dynamiccertificates.NewDynamicCAFromConfigMapController("front-proxy", proxyNamespace, proxyConfigMap, "requestheader-client-ca-file", client)
	if err != nil {
		return nil, fmt.Errorf("front proxy: %w", err)
	}
	headers := headerrequest.NewRequestHeaderAuthRequestController(proxyConfigMap, proxyNamespace, client,
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers",
		"requestheader-extra-headers-prefix", "requestheader-allowed-names")
	names := func(f func() []string) headerrequest.StringSliceProviderFunc { return f }
	return &frontProxy{
		ca: ca, headers: headers, log: log,
		request: headerrequest.NewDynamicVerifyOptionsSecure(ca.VerifyOptions, names(headers.AllowedClientNames),
			names(headers.UsernameHeaders), names(headers.UIDHeaders), names(headers.GroupHeaders), names(headers.ExtraHeaderPrefixes)),
	}, nil
}

// run keeps up with the ConfigMap until ctx ends.
func (p *frontProxy) run(ctx context.Context) {
	// Both controllers read it once more at their start; this is for the one line that says what is wrong.
	if err := p.headers.RunOnce(ctx); err != nil && ctx.Err() == nil {
		advice := "the Kubernetes API does not answer; it is asked again"
		if apierrors.IsForbidden(err) {
			advice = "bind the Role extension-apiserver-authentication-reader in kube-system to the server's ServiceAccount"
		}
		p.log.Warn("requests through the Kubernetes aggregation layer cannot be authenticated yet", zap.String("advice", advice), zap.Error(err))
	}
	go p.ca.Run(ctx, 1)
	p.headers.Run(ctx, 1)
}

// claims tells whether a request says that a proxy vouches for it.
func (p *frontProxy) claims(r *http.Request) bool {
	for name := range r.Header {
		if len(name) >= len(proxyHeaders) && strings.EqualFold(name[:len(proxyHeaders)], proxyHeaders) {
			return true
		}
	}
	for _, name := range p.headers.UsernameHeaders() {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

func (p *frontProxy) caller(r *http.Request) (*Caller, error) {
	response, ok, err := p.request.AuthenticateRequest(r)
	switch {
	case err != nil:
		p.log.Warn("a request names a user in front-proxy headers, with a certificate that is not the API server's", zap.String("from", r.RemoteAddr), zap.Error(err))
		return nil, errForged
	case !ok:
		return nil, errForged
	}
	return newCaller(response.User, api.MeViaAggregation, ""), nil
}

var errForged = api.Errorf(api.ErrorCodeUnauthenticated,
	"X-Remote-… headers are believed only from the Kubernetes API server, with its front-proxy certificate: send a token instead, or go through the API server")
