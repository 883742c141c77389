package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/registry"
	"helm.sh/helm/v4/pkg/repo/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/api"
)

// Limits of what is downloaded.
const (
	maxIndex    = 64 << 20
	maxChart    = 20 << 20
	maxManifest = 4 << 20
	fetchTime   = 2 * time.Minute
)

func isOCI(address string) bool { return registry.IsOCI(address) }

func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it is no address")
	case u.Host == "" || !slices.Contains([]string{"http", "https", registry.OCIScheme}, u.Scheme):
		return errors.New("write it as https://host/path, or oci://host/path for charts in a registry")
	}
	return nil
}

func archive(address, name, version string) string {
	return address + "/" + name + "-" + version + ".tgz"
}

// client has no limits but those of its context. Its connections are not kept: there are minutes between downloads, or months.
func client() *http.Client {
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	transport.DisableKeepAlives = true
	return &http.Client{Transport: transport}
}

// get downloads a file of at most so many bytes.
func get(ctx context.Context, address string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "cannot download %s: %s", redacted(address), err)
	}
	request.Header.Set("User-Agent", "kubefoundry")
	response, err := client().Do(request)
	if err != nil {
		return nil, undownloaded(ctx, address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "cannot download %s: it answers %s", redacted(address), response.Status)
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, undownloaded(ctx, address, err)
	case int64(len(b)) > limit:
		return nil, api.Errorf(api.ErrorCodeUnavailable, "cannot download %s: it is larger than %d MiB", redacted(address), limit>>20)
	}
	return b, nil
}

func undownloaded(ctx context.Context, address string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return api.Errorf(api.ErrorCodeUnavailable, "cannot download %s: %s", redacted(address), err)
}

func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Redacted()
}

// fetch downloads a chart in exactly one version.
func (i *Installer) fetch(ctx context.Context, c chart, version string) (*v2.Chart, error) {
	address := i.address(c.source, version)
	var b []byte
	var err error
	switch {
	case isOCI(address):
		b, err = pull(ctx, address+"/"+c.name, version)
	case c.direct:
		b, err = get(ctx, archive(address, c.name, version), maxChart)
	default:
		b, err = fromRepository(ctx, address, c.name, version)
	}
	if err != nil {
		return nil, err
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(b))
	if err != nil {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "chart %s %s from %s cannot be read: %s", c.name, version, redacted(address), err)
	}
	if loaded.Name() != c.name || !sameVersion(loaded.Metadata.Version, version) {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "%s gave the chart %s %s instead of %s %s", redacted(address), loaded.Name(), loaded.Metadata.Version, c.name, version)
	}
	return loaded, nil
}

func sameVersion(a, b string) bool { return strings.TrimPrefix(a, "v") == strings.TrimPrefix(b, "v") }

// index is the part of a repository's index that matters here.
type index struct {
	Entries map[string][]struct {
		Version string   `json:"version"`
		URLs    []string `json:"urls"`
		Digest  string   `json:"digest"`
	} `json:"entries"`
}

func fromRepository(ctx context.Context, address, name, version string) ([]byte, error) {
	b, err := get(ctx, address+"/index.yaml", maxIndex)
	if err != nil {
		return nil, err
	}
	var all index
	if err := yaml.Unmarshal(b, &all); err != nil {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "%s/index.yaml is no index of a chart repository: %s", redacted(address), err)
	}
	for _, entry := range all.Entries[name] {
		if !sameVersion(entry.Version, version) || len(entry.URLs) == 0 {
			continue
		}
		at, err := repo.ResolveReferenceURL(address, entry.URLs[0])
		if err != nil {
			return nil, api.Errorf(api.ErrorCodeUnavailable, "%s: chart %s %s: %s", redacted(address), name, version, err)
		}
		if isOCI(at) {
			at, _, _ = strings.Cut(at[len(registry.OCIScheme)+3:], "@")
			at = strings.TrimSuffix(at, ":"+entry.Version)
			return pull(ctx, registry.OCIScheme+"://"+at, entry.Version)
		}
		b, err := get(ctx, at, maxChart)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); entry.Digest != "" && !strings.EqualFold(strings.TrimPrefix(entry.Digest, "sha256:"), got) {
			return nil, api.Errorf(api.ErrorCodeUnavailable, "%s is not what the index says: its SHA-256 is %s instead of %s", redacted(at), got, entry.Digest)
		}
		return b, nil
	}
	var versions []string
	for _, entry := range all.Entries[name] {
		versions = append(versions, entry.Version)
	}
	if len(versions) == 0 {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "%s has no chart %s", redacted(address), name)
	}
	return nil, api.Errorf(api.ErrorCodeInvalidRequest, "%s has no chart %s in version %s, but in %s", redacted(address), name, version, strings.Join(versions[:min(len(versions), 10)], ", "))
}

// pull reads a chart from a registry, as nobody: the credentials that docker may keep on this machine are not for this.
func pull(ctx context.Context, address, version string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	plain := &http.Client{Transport: bounded{ctx, client().Transport}}
	options := []registry.ClientOption{
		registry.ClientOptHTTPClient(plain), registry.ClientOptAuthorizer(auth.Client{Client: plain}), registry.ClientOptWriter(io.Discard),
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(address, registry.OCIScheme+"://"), "/")
	if isLoopback(host) { // as docker does
		options = append(options, registry.ClientOptPlainHTTP())
	}
	c, err := registry.NewClient(options...)
	if err != nil {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "cannot download %s: %s", address, err)
	}
	// A tag cannot contain a plus.
	reference := strings.TrimPrefix(address, registry.OCIScheme+"://") + ":" + strings.ReplaceAll(version, "+", "_")
	pulled, err := c.Pull(reference)
	if err != nil {
		return nil, undownloaded(ctx, address, err)
	}
	return pulled.Chart.Data, nil
}

func isLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	return name == "localhost" || name == "::1" || strings.HasPrefix(name, "127.")
}

// bounded ends requests with a context that their sender does not know, and answers that are too large.
type bounded struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r.WithContext(b.ctx))
	if err != nil {
		return nil, err
	}
	if response.ContentLength > maxChart {
		response.Body.Close()
		return nil, fmt.Errorf("it is larger than %d MiB", maxChart>>20)
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxChart), response.Body}
	return response, nil
}
