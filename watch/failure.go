package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// target is what a call is about, for the words of its error.
type target struct {
	schema.GroupVersionResource
	namespace string
	host      string
}

// name is plural and group, as in `workspaces.kaito.sh`.
func (t target) name() string { return t.GroupResource().String() }

// explain says in plain words what went wrong with a list or a watch, and what to do.
func (t target) explain(err error) string {
	var status apierrors.APIStatus
	switch {
	case torn(err):
		return fmt.Sprintf("the connection to the API server at %s broke", t.host)
	case apierrors.IsForbidden(err):
		where := "in all namespaces"
		if t.namespace != "" {
			where = "in namespace " + t.namespace
		}
		return fmt.Sprintf("%s may not list and watch %s %s: grant it the rule {apiGroups: [%q], resources: [%q], verbs: [list, watch]}",
			user(err), t.name(), where, t.Group, t.Resource)
	case apierrors.IsUnauthorized(err):
		return fmt.Sprintf("the API server at %s rejects the credentials: renew the token or the certificate", t.host)
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("the API server does not serve %s in version %s", t.name(), t.Version)
	case errors.As(err, &status):
		return fmt.Sprintf("the API server answers for %s: %s", t.name(), status.Status().Message)
	}
	return unreachable(t.host, err)
}

// unreachable says in plain words why there is no answer from the API server.
func unreachable(host string, err error) string {
	var dns *net.DNSError
	text := err.Error()
	switch {
	case utilnet.IsConnectionRefused(err):
		return fmt.Sprintf("the API server at %s does not answer (connection refused): check that it runs and that the address is right", host)
	case errors.As(err, &dns):
		return fmt.Sprintf("the API server's name in %s cannot be resolved: check the address and the DNS", host)
	case strings.Contains(text, "x509:") || strings.Contains(text, "tls:"):
		return fmt.Sprintf("no trust between here and the API server at %s: check the certificate authority of the configuration (%s)", host, innermost(err))
	case errors.Is(err, context.DeadlineExceeded) || utilnet.IsTimeout(err):
		return fmt.Sprintf("the API server at %s does not answer in time: check the network", host)
	case utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || errors.Is(err, syscall.EPIPE):
		return fmt.Sprintf("the connection to the API server at %s broke", host)
	}
	return fmt.Sprintf("the API server at %s cannot be reached: %s", host, innermost(err))
}

// user takes the name out of a refusal such as `pods is forbidden: User "x" cannot list …`, which is the only place
// where a client learns who it is without asking.
func user(err error) string {
	if _, rest, ok := strings.Cut(err.Error(), `User "`); ok {
		if name, _, ok := strings.Cut(rest, `"`); ok && name != "" {
			return name
		}
	}
	return "this installation"
}

func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// outdated errors are no failures: they ask for a new list from another resource version, and the reflector knows how.
func outdated(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// reached tells whether the API server answered at all, if only with a refusal.
func reached(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && !torn(err)
}

// torn tells whether a watch broke off. client-go dresses that as an answer of the API server's.
func torn(err error) bool { return apierrors.HasStatusCause(err, "ClientWatchDecoding") }

// final tells whether an error is the API server's considered answer: asking again changes nothing by itself.
func final(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= 400 && code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout
}
