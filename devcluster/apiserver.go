package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/devcluster/pki"
	"github.com/kubefoundry/kubefoundry/devcluster/process"
)

// reservePort binds port on loopback (0: any free one) and holds it without
// listening, so that nobody else takes it before the API server starts or while
// it restarts. The API server shares the port: see --permit-port-sharing.
func reservePort(port int) (reserved int, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("reserve port: %w", err)
	}
	release = func() { _ = unix.Close(fd) }
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		release()
		return 0, nil, fmt.Errorf("reserve port: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		release()
		return 0, nil, fmt.Errorf("port %d is taken; give another --port, or 0 for a free one: %w", port, err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		release()
		return 0, nil, fmt.Errorf("reserve port: %w", err)
	}
	return bound.(*unix.SockaddrInet4).Port, release, nil
}

func serverURL(port int) string {
	return "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// apiserverSpec is the command line of the API server.
func apiserverSpec(self string, o options, dir *workdir, certs *pki.Cluster, etcd string, port int) process.Spec {
	args := []string{
		apiserverName,
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--permit-port-sharing=true",
		// Found from the default route otherwise, which a machine without a
		// network does not have. Nobody calls it.
		"--advertise-address=10.255.255.2",
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file=" + certs.CertFile(pki.APIServer),
		"--tls-private-key-file=" + certs.KeyFile(pki.APIServer),
		"--client-ca-file=" + certs.CertFile(pki.CA),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + certs.CertFile(pki.TokenSigning),
		"--service-account-signing-key-file=" + certs.KeyFile(pki.TokenSigning),
		"--requestheader-client-ca-file=" + certs.CertFile(pki.FrontProxyCA),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + certs.CertFile(pki.FrontProxyClient),
		"--proxy-client-key-file=" + certs.KeyFile(pki.FrontProxyClient),
		// There is no kube-proxy: aggregated APIs are reached by their endpoints.
		"--enable-aggregator-routing=true",
		"--kubelet-client-certificate=" + certs.CertFile(pki.KubeletClient),
		"--kubelet-client-key=" + certs.KeyFile(pki.KubeletClient),
		"--kubelet-certificate-authority=" + certs.CertFile(pki.CA),
		"--kubelet-preferred-address-types=InternalIP",
		"--egress-selector-config-file=" + dir.file("egress.yaml"),
		"--allow-privileged=true",
		"--profiling=false",
		// Measurements are of the caller, not of a queue in front of the server.
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=2000",
		"--max-mutating-requests-inflight=1000",
	}
	return process.Spec{
		Name: apiserverName, Path: self, Args: append(args, o.apiserverArgs...),
		Env: []string{"GOMEMLIMIT=" + o.apiserverMemory},
		Log: dir.file(apiserverName + ".log"),
	}
}

// waitReady polls /readyz until it answers or ctx is done.
func waitReady(ctx context.Context, client kubernetes.Interface) error {
	return poll(ctx, "API server to be ready", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// poll calls check every 50 ms until it returns no error. When ctx ends first,
// the error says what was waited for and why the last check failed.
func poll(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := check(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last: %w)", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
