package main

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/automation"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/httpapi"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/serving"
	"github.com/kubefoundry/kubefoundry/view"
)

// automationOptions say whether programs may subscribe by NATS.
type automationOptions struct{ address string }

func (o *automationOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.address, "nats-listen", "", "let programs subscribe by NATS at this address, with ServiceAccount tokens made for the audience "+automation.Audience+" (embedded NATS); nobody when left out")
}

// listen is where the embedded server is to listen.
func (o *automationOptions) listen(certificate *serving.Certificate, authenticates bool) (bus.Listen, error) {
	if o.address == "" {
		return bus.Listen{}, nil
	}
	if !authenticates {
		return bus.Listen{}, errors.New("--nats-listen lets users of the cluster in: it needs --authentication on")
	}
	l := bus.Listen{Address: o.address}
	if certificate != nil {
		l.TLS = certificate.TLSConfig()
		l.TLS.ClientAuth, l.TLS.NextProtos = tls.NoClientCert, nil // those are for HTTP
	}
	return l, nil
}

// open admits those who come; nil where nobody may.
func (o *automationOptions) open(
	b *bus.Bus, documents *view.View, identity httpapi.Identity, config *rest.Config, log *zap.Logger, registerer prometheus.Registerer,
) (*automation.Automation, error) {
	delegated, ok := identity.(*auth.Delegated)
	if o.address == "" || !ok {
		return nil, nil //nolint:nilnil // none is wanted
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--nats-listen: %w", err)
	}
	tokens, err := auth.NewTokens(client, automation.Audience)
	if err != nil {
		return nil, fmt.Errorf("--nats-listen: %w", err)
	}
	log.Info("listening for automation", zap.Stringer("nats", b.ListenAddress()))
	return automation.New(automation.Options{ //nolint:wrapcheck // it says what it was for
		Bus: b, View: documents, Tokens: tokens, Rights: automation.RightsFunc(delegated.Sight),
		Logger: log.Named("automation"), Registerer: registerer,
	})
}
