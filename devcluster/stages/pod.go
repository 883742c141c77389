package stages

import kwok "sigs.k8s.io/kwok/pkg/apis/v1alpha1"

// Expressions that stages select by.
const (
	phase     = ".status.phase"
	startTime = ".status.startTime"
	// reason of the first container, which is the one that fails
	waitingReason = ".status.containerStatuses[0].state.waiting.reason"
	runningSince  = ".status.containerStatuses[0].state.running.startedAt"
	// anyUnready is true if a container is not ready, whatever the conditions
	// say: those are set to False for pods of lost nodes as well.
	anyUnready  = "[.status.containerStatuses[]? | .ready] | any(not)"
	ownerKind   = ".metadata.ownerReferences[]?.kind"
	restartNo   = "Never"
	restartRule = ".spec.restartPolicy"
)

// Pods returns the stages of pods. Events about crash loops and image pulls are
// not among them: package standin writes those, with the names of the pod and the
// container, which a stage cannot.
func Pods() []*kwok.Stage {
	behaviour := annotation(Behaviour)
	others := []string{Slow, Stuck, CrashLoop, OOMKilled, ImagePull}

	out := []*kwok.Stage{
		remove(after(stage("Pod", "pod-delete", exists(".metadata.deletionTimestamp")), 0, annotation(Termination))),

		// One patch from Pending to ready: a cluster with thousands of pods is
		// bound by the number of status patches.
		status(pod("pod-ready", notIn(behaviour, others...), in(phase, "Pending")), ready),
		status(pod("pod-recovered", notIn(behaviour, others...), in(phase, "Running"), in(anyUnready, "true")), ready),
		status(after(pod("pod-complete", notIn(behaviour, others...),
			in(phase, "Running"), in(ownerKind, "Job"), notIn(anyUnready, "true")), 1000, annotation(Delay)), succeeded),

		status(pod("pod-creating", in(behaviour, Slow, CrashLoop, OOMKilled, ImagePull),
			in(phase, "Pending"), absent(startTime)), creating(true)),

		status(event(pod("pod-stuck", in(behaviour, Stuck), in(phase, "Pending"), absent(startTime)),
			"Warning", "FailedMount", "MountVolume.SetUp failed: the volume is not there"), creating(false)),

		status(after(pod("pod-loading", in(behaviour, Slow), in(phase, "Pending"), exists(startTime)), 500, ""), loading),
		status(after(pod("pod-loaded", in(behaviour, Slow), in(phase, "Running"), in(anyUnready, "true")),
			15000, annotation(Delay)), ready),

		status(after(pod("pod-pull-failed", in(behaviour, ImagePull), in(phase, "Pending"), exists(startTime),
			in(waitingReason, "ContainerCreating", "PodInitializing")), 1000, ""), pulling("ErrImagePull")),
		status(after(pod("pod-pull-waits", in(behaviour, ImagePull), in(waitingReason, "ErrImagePull")),
			2000, ""), pulling("ImagePullBackOff")),
		status(after(pod("pod-pull-again", in(behaviour, ImagePull), in(waitingReason, "ImagePullBackOff")),
			60000, annotation(Delay)), pulling("ErrImagePull")),
	}
	out = append(out, crashing(CrashLoop, 1, "Error")...)
	return append(out, crashing(OOMKilled, 137, "OOMKilled")...)
}

// backOff is the kubelet's: 10 s, doubling with every restart, 5 minutes at most.
const backOff = ` // ("\([10 * pow(2; ([.status.containerStatuses[].restartCount] | max) - 1), 300] | min)s")`

// crashing are the stages of containers that exit with a status and a reason.
func crashing(behaviour string, exit int, reason string) []*kwok.Stage {
	is := in(annotation(Behaviour), behaviour)
	name := "pod-" + behaviour
	return []*kwok.Stage{
		status(after(pod(name+"-starts", is, in(phase, "Pending"), exists(startTime)), 500, ""), loading),
		// A pod that was ready crashes as well once it is annotated.
		status(after(pod(name, is, notIn(restartRule, restartNo), in(phase, "Running"), exists(runningSince)),
			1000, ""), crashed(exit, reason)),
		status(after(pod(name+"-restarts", is, in(phase, "Running"), in(waitingReason, "CrashLoopBackOff")),
			10000, "("+annotation(Delay)+backOff+")"), restarted),
		status(after(pod(name+"-fails", is, in(restartRule, restartNo), in(phase, "Running"), exists(runningSince)),
			1000, ""), failed(exit, reason)),
	}
}

var (
	ready     = preamble + conditions(true, true) + containers(running(true)) + initDone + network + started + "phase: Running"
	loading   = preamble + conditions(true, false) + containers(running(false)) + initDone + network + started + "phase: Running"
	restarted = preamble + conditions(true, false) + containers(`{{ $count = add1 $count }}`+running(false)) + "phase: Running"

	succeeded = preamble + ended("PodCompleted") + allContainers(terminated(0, "Completed")) + "phase: Succeeded"
)

func creating(sandbox bool) string {
	out := preamble + conditions(sandbox, false) + waiting + started + "phase: Pending"
	if sandbox {
		out = out + "\n" + network
	}
	return out
}

func crashed(exit int, reason string) string {
	// The first restart of a container does not wait, so that the first back-off
	// is seen with a count of one.
	return preamble + conditions(true, false) + containers(began+`
  {{ $count = max 1 $count }}`+identity+`
  ready: false
  started: false
  state: {waiting: {reason: CrashLoopBackOff, message: {{ printf "back-off restarting failed container=%s pod=%s" $item.name $root.metadata.name | Quote }}}}
  lastState: `+terminated(exit, reason)) + "phase: Running"
}

func failed(exit int, reason string) string {
	return preamble + ended("PodFailed") + allContainers(terminated(exit, reason)) + "phase: Failed"
}

func pulling(reason string) string {
	return preamble + conditions(true, false) + containers(`
  restartCount: 0
  ready: false
  started: false
  {{ $why := or $message (printf "failed to pull and unpack image %q: not found" $item.image) }}
  state: {waiting: {reason: `+reason+`, message: {{ $why | Quote }}}}
`) + "phase: Pending"
}

// ended are the conditions of a pod whose containers have all ended.
func ended(reason string) string {
	return "conditions:" +
		condition("PodReadyToStartContainers", "False", "", `""`) +
		condition("ContainersReady", "False", reason, `""`) +
		condition("Ready", "False", reason, `""`) + "\n"
}

// allContainers gives every container the same state.
func allContainers(state string) string {
	return `
containerStatuses:
{{ range $index, $item := .spec.containers }}
{{ $old := or (get $was $item.name) dict }}
{{ $count := int (or $old.restartCount 0) }}
- name: {{ $item.name | Quote }}
  image: {{ $item.image | Quote }}
  imageID: {{ $item.image | Quote }}` + began + identity + `
  ready: false
  started: false
  state: ` + state + `
{{ end }}
`
}
