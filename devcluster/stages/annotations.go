package stages

// Behaviour is the annotation that says how a pod, or a node, fares.
const Behaviour = "devcluster.kubefoundry.io/behaviour"

// Behaviours of a pod.
const (
	// Ready is what a pod without the annotation does: it is ready at once. A pod
	// of a Job then succeeds.
	Ready = "ready"
	// Slow pods run for [Delay] (15 s) before they are ready, as a model server
	// that loads weights.
	Slow = "slow"
	// Stuck pods stay in ContainerCreating.
	Stuck = "stuck"
	// CrashLoop is that the first container exits with status 1 again and again.
	// With restartPolicy Never the pod fails.
	CrashLoop = "crashloop"
	// OOMKilled is a crash loop by the memory limit, exit status 137.
	OOMKilled = "oomkilled"
	// ImagePull is that the image of the first container cannot be pulled.
	ImagePull = "imagepull"
)

// NotReady as the behaviour of a node takes its readiness away; removing the
// annotation gives it back.
const NotReady = "notready"

// Delay is the annotation with a duration ("15s"): until a slow pod is ready,
// between the crash and the restart of a crash loop (else 10 s, doubling to 5
// minutes), until a pod of a Job has succeeded (else 1 s).
const Delay = "devcluster.kubefoundry.io/delay"

// Termination is the annotation with the duration that a pod takes to go after
// its deletion; without it, none.
const Termination = "devcluster.kubefoundry.io/termination"

// Message is the annotation with the text that a failing container leaves.
const Message = "devcluster.kubefoundry.io/message"
