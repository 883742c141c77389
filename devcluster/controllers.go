package main

import (
	"github.com/kubefoundry/kubefoundry/devcluster/pki"
	"github.com/kubefoundry/kubefoundry/devcluster/process"
)

// podCIDR is where KWOK takes pod addresses from: below the service range, which
// begins at 10.96.0.0.
const podCIDR = "10.0.0.0/10"

// controllersSpec is the command line of the controller manager. It serves
// nothing (--secure-port=0): a port is one more thing that may be taken.
func controllersSpec(self, kubeconfig string, dir *workdir, certs *pki.Cluster) process.Spec {
	return process.Spec{
		Name: controllersName, Path: self, Log: dir.file(controllersName + ".log"),
		Args: []string{
			controllersName,
			"--kubeconfig=" + kubeconfig,
			"--secure-port=0",
			"--leader-elect=false",
			"--use-service-account-credentials=true",
			"--service-account-private-key-file=" + certs.KeyFile(pki.TokenSigning),
			"--root-ca-file=" + certs.CertFile(pki.CA),
			"--cluster-signing-cert-file=" + certs.CertFile(pki.CA),
			"--cluster-signing-key-file=" + certs.KeyFile(pki.CA),
			// All pods share one range, which KWOK hands out.
			"--allocate-node-cidrs=false",
			"--kube-api-qps=200", "--kube-api-burst=400",
		},
	}
}

func schedulerSpec(self, kubeconfig string, dir *workdir) process.Spec {
	return process.Spec{
		Name: schedulerName, Path: self, Log: dir.file(schedulerName + ".log"),
		Args: []string{
			schedulerName,
			"--kubeconfig=" + kubeconfig,
			"--secure-port=0",
			"--leader-elect=false",
			"--kube-api-qps=200", "--kube-api-burst=400",
		},
	}
}

// kwokSpec is the command line of KWOK. Without --node-port its own kubelet
// server stays off.
func kwokSpec(self, kubeconfig string, dir *workdir) process.Spec {
	return process.Spec{
		Name: kwokName, Path: self, Log: dir.file(kwokName + ".log"),
		// KWOK also reads a configuration from the home folder.
		Env: []string{"HOME=" + dir.path},
		Args: []string{
			kwokName,
			"--kubeconfig=" + kubeconfig,
			"--config=" + dir.file("stages.yaml"),
			"--manage-all-nodes=true",
			"--cidr=" + podCIDR,
			// Leases in place of heartbeats: a heartbeat changes the node object.
			"--node-lease-duration-seconds=40",
		},
	}
}
