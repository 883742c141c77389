package stages

import (
	"fmt"

	kwok "sigs.k8s.io/kwok/pkg/apis/v1alpha1"

	"github.com/kubefoundry/kubefoundry/devcluster/nodes"
)

const nodeReady = `.status.conditions[]? | select(.type == "Ready") | .status`

// Nodes returns the stages of nodes. There is no heartbeat among them: KWOK
// renews the nodes' leases, and that is what the node lifecycle controller looks
// at.
func Nodes() []*kwok.Stage {
	behaviour := annotation(Behaviour)
	return []*kwok.Stage{
		status(stage("Node", "node-ready", notIn(behaviour, NotReady), notIn(nodeReady, "True")), nodeIs(true)),
		status(stage("Node", "node-not-ready", in(behaviour, NotReady), in(nodeReady, "True")), nodeIs(false)),
	}
}

// nodeIs is the status of a node. What a node was registered with is kept; a node
// that came with nothing, as one made by hand, gets a plain machine.
func nodeIs(ready bool) string {
	state, reason, message := "True", "KubeletReady", "kubelet is posting ready status"
	if !ready {
		state, reason, message = "False", "KubeletNotReady", "container runtime is down"
	}
	return `
{{ $now := Now }}
{{ $since := dict }}
{{ range .status.conditions }}{{ $_ := set $since (printf "%s/%s" .type .status) .lastTransitionTime }}{{ end }}
conditions:
{{ range NodeConditions }}
{{ if ne .type "Ready" }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ or (get $since (printf "%s/%s" .type .status)) $now | Quote }}
{{ end }}
{{ end }}
- type: Ready
  status: ` + fmt.Sprintf("%q", state) + `
  reason: ` + reason + `
  message: ` + message + `
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ or (get $since "Ready/` + state + `") $now | Quote }}
{{ if not .status.addresses }}
addresses:
- {type: InternalIP, address: ` + nodes.KubeletIP + `}
- {type: Hostname, address: {{ .metadata.name | Quote }}}
{{ end }}
daemonEndpoints: {kubeletEndpoint: {Port: ` + fmt.Sprint(nodes.KubeletPort) + `}}
{{ if not .status.allocatable }}
allocatable: {{ if .status.capacity }}{{ toJson .status.capacity }}{{ else }}{cpu: "32", memory: 128Gi, pods: "250"}{{ end }}
{{ end }}
{{ if not .status.capacity }}
capacity: {{ if .status.allocatable }}{{ toJson .status.allocatable }}{{ else }}{cpu: "32", memory: 128Gi, pods: "250"}{{ end }}
{{ end }}
{{ if not (or .status.nodeInfo dict).kubeletVersion }}
nodeInfo:
  architecture: amd64
  operatingSystem: linux
  osImage: Ubuntu 24.04 LTS
  kernelVersion: 6.8.0
  containerRuntimeVersion: containerd://2.1.0
  kubeletVersion: ` + nodes.KubeletVersion + `
  kubeProxyVersion: ""
  bootID: ""
  machineID: ""
  systemUUID: ""
{{ end }}
phase: Running
`
}
