package stages

import "fmt"

// The fragments below are joined into one template per stage. They share
// variables: $now, $since (transition times by "type/status"), $was (container
// statuses by name) and $message.
const preamble = `
{{ $now := Now }}
{{ $root := . }}
{{ $message := or (index (or .metadata.annotations dict) "` + Message + `") "" }}
{{ $since := dict }}
{{ range .status.conditions }}{{ $_ := set $since (printf "%s/%s" .type .status) .lastTransitionTime }}{{ end }}
{{ $was := dict }}
{{ range .status.containerStatuses }}{{ $_ := set $was .name . }}{{ end }}
`

// condition is one entry of .status.conditions. Reason and message are written
// even when they are empty: the patch is merged by type and would else leave
// those of the former status.
func condition(kind, status, reason, message string) string {
	return fmt.Sprintf(`
- type: %[1]s
  status: %[2]q
  lastTransitionTime: {{ or (get $since "%[1]s/%[2]s") $now | Quote }}
  reason: %[3]q
  message: %[4]s`, kind, status, reason, message)
}

// conditions are those of a pod on a node, with its sandbox up or not and its
// containers ready or not.
func conditions(sandbox, ready bool) string {
	up := "True"
	if !sandbox {
		up = "False"
	}
	out := "conditions:" +
		condition("PodScheduled", "True", "", `""`) +
		condition("PodReadyToStartContainers", up, "", `""`) +
		condition("Initialized", "True", "", `""`)
	if ready {
		out += condition("ContainersReady", "True", "", `""`) + condition("Ready", "True", "", `""`)
	} else {
		const unready = `{{ printf "containers with unready status: [%s]" (index .spec.containers 0).name | Quote }}`
		out += condition("ContainersReady", "False", "ContainersNotReady", unready) +
			condition("Ready", "False", "ContainersNotReady", unready)
	}
	return out + `
{{ range .spec.readinessGates }}
- type: {{ .conditionType | Quote }}
  status: "True"
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
`
}

// network gives the pod its addresses; once only, because every call takes a new
// one from KWOK's pool.
const network = `
{{ if not .status.podIP }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
hostIPs:
- ip: {{ NodeIPWith .spec.nodeName | Quote }}
{{ $ip := PodIPWith .spec.nodeName (or .spec.hostNetwork false) (or .metadata.uid "") (or .metadata.name "") (or .metadata.namespace "") }}
podIP: {{ $ip | Quote }}
podIPs:
- ip: {{ $ip | Quote }}
{{ end }}
`

// started sets the time at which the kubelet took the pod up.
const started = `
{{ if not .status.startTime }}
startTime: {{ $now | Quote }}
{{ end }}
`

// initDone is that init containers have completed, and sidecars among them run.
const initDone = `
{{ if .spec.initContainers }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  containerID: {{ printf "containerd://%s" (sha256sum (printf "%s/%s" $root.metadata.uid .name)) | Quote }}
  ready: true
  restartCount: 0
  {{ if eq (or .restartPolicy "") "Always" }}
  started: true
  state: {running: {startedAt: {{ or $root.status.startTime $now | Quote }}}}
  {{ else }}
  started: false
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ or $root.status.startTime $now | Quote }}, finishedAt: {{ $now | Quote }}}}
  {{ end }}
{{ end }}
{{ end }}
`

// waiting is that no container has been made yet.
const waiting = `
{{ $reason := "ContainerCreating" }}
{{ if .spec.initContainers }}
{{ $reason = "PodInitializing" }}
initContainerStatuses:
{{ range .spec.initContainers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, started: false, restartCount: 0, state: {waiting: {reason: PodInitializing}}}
{{ end }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, started: false, restartCount: 0, state: {waiting: {reason: {{ $reason }}}}}
{{ end }}
`

// containers writes all container statuses: first is the rest of the status of
// the first container, which is the one that fails; the others run. In first,
// $old is the container's former status and $count its restart count.
func containers(first string) string {
	return `
containerStatuses:
{{ range $index, $item := .spec.containers }}
{{ $old := or (get $was $item.name) dict }}
{{ $count := int (or $old.restartCount 0) }}
- name: {{ $item.name | Quote }}
  image: {{ $item.image | Quote }}
  imageID: {{ $item.image | Quote }}
  {{ if eq $index 0 }}` + first + `{{ else }}` + running(true) + `{{ end }}
{{ end }}
`
}

// identity is the container ID, which changes with every restart.
const identity = `
  restartCount: {{ $count }}
  containerID: {{ printf "containerd://%s" (sha256sum (printf "%s/%s/%d" $root.metadata.uid $item.name $count)) | Quote }}`

// running is a container that runs on, or starts now if it did not run.
func running(ready bool) string {
	return identity + fmt.Sprintf(`
  ready: %t
  started: %t
  {{ $at := $now }}
  {{ with $old.state }}{{ with .running }}{{ $at = .startedAt }}{{ end }}{{ end }}
  state: {running: {startedAt: {{ $at | Quote }}}}
  {{ with $old.lastState }}
  lastState: {{ toJson . }}
  {{ end }}
`, ready, ready)
}

// terminated is the state of a container that ended now.
func terminated(exit int, reason string) string {
	return fmt.Sprintf(`{terminated: {exitCode: %d, reason: %s, message: {{ $message | Quote }}, `+
		`startedAt: {{ $began | Quote }}, finishedAt: {{ $now | Quote }}}}`, exit, reason)
}

// began sets $began to when the container started to run.
const began = `
  {{ $began := or $root.status.startTime $now }}
  {{ with $old.state }}{{ with .running }}{{ $began = .startedAt }}{{ end }}{{ end }}`
