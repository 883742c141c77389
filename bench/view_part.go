package main

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/httpapi"
	"github.com/kubefoundry/kubefoundry/internal/auth"
)

// viewPart is KubeFoundry's HTTP API.
type viewPart struct {
	http.Handler
	server *httpapi.Server
}

func newViewPart(f *feed) (*viewPart, error) {
	server, err := httpapi.New(httpapi.Options{View: f.view, Identity: auth.NewUnchecked(nil, "bench"), Logger: zap.NewNop(), Registry: prometheus.NewRegistry()})
	if err != nil {
		return nil, err
	}
	return &viewPart{Handler: server.Handler(), server: server}, nil
}

func (p *viewPart) changed(context.Context) error { return nil }

func (p *viewPart) close() { p.server.Close() }
