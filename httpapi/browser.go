package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"

	"github.com/kubefoundry/kubefoundry/api"
)

// BrowserOptions say which pages may use the server from a browser.
type BrowserOptions struct {
	// Origins are those of other servers whose pages may, as in https://dashboard.example. None by default.
	Origins []string
	// Hosts are the names that the server answers to; with none, it answers to all. A server that does not ask who its
	// caller is has to have some: a page of any site can have its own name resolved to this machine (DNS rebinding), and is
	// then kept away only because the request says that name.
	Hosts []string

	protection *http.CrossOriginProtection
}

// checked tells what is wrong with the options, or completes them.
func (o BrowserOptions) checked() (BrowserOptions, error) {
	o.protection = http.NewCrossOriginProtection()
	o.Origins, o.Hosts = slices.Clone(o.Origins), slices.Clone(o.Hosts)
	for i, origin := range o.Origins {
		o.Origins[i] = strings.ToLower(origin) // as browsers send it
		err := o.protection.AddTrustedOrigin(o.Origins[i])
		if err == nil && strings.Contains(origin, "*") { // package cors would let whole domains in
			err = fmt.Errorf("invalid origin %q: each one has to be named", origin)
		}
		if err != nil {
			return o, fmt.Errorf("--cors-origins: %w; want scheme and host, as in https://dashboard.example", err)
		}
	}
	for i, host := range o.Hosts {
		o.Hosts[i] = hostname(host)
	}
	return o, nil
}

// security sets what keeps answers from being framed, guessed at or kept by what lies between.
func security(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization")
}

// crossOrigin answers preflights, and lets the pages of the configured origins read answers.
func crossOrigin(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-HF-Token"},
		ExposedHeaders: []string{"ETag", "Retry-After"},
		MaxAge:         600,
	}).Handler(next)
}

// fromPage tells why a request must not come from where it does, for a server that does not ask who its caller is.
func (o BrowserOptions) fromPage(r *http.Request) error {
	if len(o.Hosts) == 0 {
		return nil
	}
	if !slices.Contains(o.Hosts, hostname(r.Host)) {
		return api.Errorf(api.ErrorCodeForbidden, "this server does not answer to the name %.100q; use http://localhost, or allow the name with --allowed-hosts", hostname(r.Host))
	}
	if origin := r.Header.Get("Origin"); origin != "" && !slices.Contains(o.Origins, origin) {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return api.Errorf(api.ErrorCodeForbidden, "pages of %.100q may not use this server; allow them with --cors-origins", origin)
		}
	}
	if err := o.protection.Check(r); err != nil {
		return api.Errorf(api.ErrorCodeForbidden, "a page of another site may not change anything here: %v", err)
	}
	return nil
}

// hostname is the name in a Host header, without the port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
