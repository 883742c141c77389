package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

// TLS is how the kubelet proves itself and whom it answers.
type TLS struct {
	CertFile, KeyFile string
	// Callers is the authority that signed the API server's client certificate,
	// and CallerName that certificate's common name.
	Callers    *x509.CertPool
	CallerName string
}

// Server is the kubelet of all nodes.
type Server struct {
	tls  TLS
	logs Logs
	// pollEvery is how often a log that is followed is asked for new lines.
	pollEvery time.Duration
}

// NewServer makes a kubelet. With nil logs, no container has any.
func NewServer(tls TLS, logs Logs) *Server {
	return &Server{tls: tls, logs: logs, pollEvery: 250 * time.Millisecond}
}

// Run serves on a new unix socket at path until ctx is done, and removes it.
func (s *Server) Run(ctx context.Context, path string) error {
	cert, err := tls.LoadX509KeyPair(s.tls.CertFile, s.tls.KeyFile)
	if err != nil {
		return fmt.Errorf("kubelet certificate: %w", err)
	}
	// A socket that a killed process left behind would refuse the bind.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("kubelet socket: %w", err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("kubelet socket: %w", err)
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		// An API server that is killed breaks handshakes; nobody needs to read that.
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{cert},
			// A caller without a certificate gets an answer that says what is missing.
			ClientAuth: tls.VerifyClientCertIfGiven,
			ClientCAs:  s.tls.Callers,
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(listener, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("kubelet: %w", err)
	}
	return nil
}

// Handler is the kubelet's API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.serveLogs)
	for _, what := range []string{"run", "exec", "attach", "portForward"} {
		mux.HandleFunc("/"+what+"/", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, what+" is not there in a development cluster: its containers are simulated. "+
				"Logs and the proxies of pods and services are.", http.StatusNotImplemented)
		})
	}
	return s.authenticate(mux)
}

func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "a client certificate of this cluster is required", http.StatusUnauthorized)
			return
		}
		if name := r.TLS.VerifiedChains[0][0].Subject.CommonName; name != s.tls.CallerName {
			http.Error(w, name+" may not call kubelets; only the API server may", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
