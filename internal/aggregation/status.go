package aggregation

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// notFound says what is wrong with a path that is of the aggregated API and leads nowhere.
func notFound(path string) *apierrors.StatusError {
	if rest, ok := afterProxy(path); ok && (rest == "" || rest[0] == '/') {
		return failure(http.StatusNotFound, metav1.StatusReasonNotFound,
			"the proxy of a backend leads to its routes: add the path of one, beginning with one slash, as in "+
				backendPath+"/"+proxy+"/api/deployments")
	}
	if rest, ok := strings.CutPrefix(path, resourcePath+"/"); ok {
		if name, _, _ := strings.Cut(rest, "/"); name != "" && name != Backend {
			return apierrors.NewNotFound(groupResource(), name)
		}
	}
	return failure(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource: "+
		"it serves "+Group+"/"+Version+", with "+resource+" and "+resource+"/"+proxy)
}

func failure(code int32, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}}
}

// writeStatus answers with an error in the only form that clients of Kubernetes read.
func writeStatus(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	body := status.Status()
	body.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, body.Message, int(body.Code))
		return
	}
	w.Header().Set("Content-Type", mediaJSON)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(int(body.Code))
	_, _ = w.Write(data) // a client that has gone
}
