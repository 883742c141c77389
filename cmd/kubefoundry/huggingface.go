package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/internal/huggingface"
	"github.com/kubefoundry/kubefoundry/internal/models"
	"github.com/kubefoundry/kubefoundry/internal/settings"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// huggingFaceOptions say how Hugging Face is asked.
type huggingFaceOptions struct {
	client    huggingface.Options
	redirects []string
}

func (o *huggingFaceOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.client.BaseURL, "huggingface-url", huggingface.DefaultBaseURL, "address of Hugging Face, or of a mirror that speaks its protocol")
	flags.StringVar(&o.client.ClientID, "huggingface-client-id", "", "OAuth application at Hugging Face by which people log in; they give tokens by hand when left out")
	flags.StringSliceVar(&o.redirects, "huggingface-redirect-origins", nil, "origins, beside this server's own and those of --cors-origins, to whose pages a login at Hugging Face may lead back")
}

func (o *huggingFaceOptions) open() (*huggingface.Client, error) {
	for i, origin := range o.redirects {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" {
			return nil, fmt.Errorf("--huggingface-redirect-origins %q: want scheme and host, as in https://dashboard.example", origin)
		}
		o.redirects[i] = strings.ToLower(u.Scheme + "://" + u.Host)
	}
	client, err := huggingface.New(o.client)
	if err != nil {
		return nil, fmt.Errorf("--huggingface-url: %w", err)
	}
	return client, nil
}

// openSettings is what is set for the whole installation.
func openSettings(config *rest.Config, namespace string, log *zap.Logger) (*settings.Store, error) {
	var providers []string
	for _, runtime := range registry.All() {
		providers = append(providers, runtime.Info().ID)
	}
	return settings.New(settings.Options{Config: config, Namespace: namespace, Providers: providers, Logger: log.Named("settings")}) //nolint:wrapcheck // it says what it was for
}

// minGPUs is how many GPUs the catalogue says that a replica of a model needs.
func minGPUs(model string) (gpus int, ok bool) {
	entry := models.Find(model)
	if entry == nil {
		return 0, false
	}
	return entry.MinGPUs, true
}
