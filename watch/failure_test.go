package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestExplainSaysWhatToDo(t *testing.T) {
	pods := target{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "pods"}, host: "https://api.example:6443"}
	ray := target{
		GroupVersionResource: schema.GroupVersionResource{Group: "ray.io", Version: "v1", Resource: "rayservices"},
		namespace:            "ml", host: "https://api.example:6443",
	}
	call := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://api.example:6443/api/v1/pods", Err: err}
	}
	forbidden := func(t target, text string) error {
		return apierrors.NewForbidden(t.GroupResource(), "", errors.New(text))
	}
	for _, tt := range []struct {
		name   string
		target target
		err    error
		want   string
		final  bool
	}{
		{
			"forbidden everywhere", pods,
			forbidden(pods, `User "system:serviceaccount:kf:kf" cannot list resource "pods" in API group "" at the cluster scope`),
			`system:serviceaccount:kf:kf may not list and watch pods in all namespaces: grant it the rule {apiGroups: [""], resources: ["pods"], verbs: [list, watch]}`, true,
		},
		{
			"forbidden in a namespace", ray, forbidden(ray, "no"),
			`this installation may not list and watch rayservices.ray.io in namespace ml: grant it the rule {apiGroups: ["ray.io"], resources: ["rayservices"], verbs: [list, watch]}`, true,
		},
		{"token", pods, apierrors.NewUnauthorized("Unauthorized"), "the API server at https://api.example:6443 rejects the credentials: renew the token or the certificate", true},
		{"not served", ray, apierrors.NewNotFound(ray.GroupResource(), ""), "the API server does not serve rayservices.ray.io in version v1", true},
		{"webhook", ray, apierrors.NewInternalError(errors.New("conversion webhook failed")), "the API server answers for rayservices.ray.io: Internal error occurred: conversion webhook failed", false},
		{"throttled", pods, apierrors.NewTooManyRequests("slow down", 1), "the API server answers for pods: slow down", false},
		{
			"refused", pods, call(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
			"the API server at https://api.example:6443 does not answer (connection refused): check that it runs and that the address is right", false,
		},
		{"name", pods, call(&net.DNSError{Err: "no such host", Name: "api.example"}), "the API server's name in https://api.example:6443 cannot be resolved: check the address and the DNS", false},
		{"slow", pods, call(context.DeadlineExceeded), "the API server at https://api.example:6443 does not answer in time: check the network", false},
		{
			"trust", pods, call(errors.New("x509: certificate signed by unknown authority")),
			"no trust between here and the API server at https://api.example:6443: check the certificate authority of the configuration (x509: certificate signed by unknown authority)", false,
		},
		{"other", pods, call(fmt.Errorf("round trip: %w", errors.New("odd"))), "the API server at https://api.example:6443 cannot be reached: odd", false},
		{
			"torn watch", pods,
			apierrors.FromObject(apierrors.NewClientErrorReporter(500, "GET", "ClientWatchDecoding").AsObject(io.ErrUnexpectedEOF)),
			"the connection to the API server at https://api.example:6443 broke", false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.target.explain(tt.err))
			require.Equal(t, tt.final, final(tt.err))
			require.False(t, outdated(tt.err))
		})
	}
	require.True(t, outdated(apierrors.NewResourceExpired("too old")))
}
