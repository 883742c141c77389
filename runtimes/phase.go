package runtimes

import "github.com/kubefoundry/kubefoundry/api"

// Reasons that come from no object but from the absence of one.
const (
	reasonNoStatus  = "WaitingForOperator"
	reasonNoPods    = "NoPods"
	reasonNoneReady = "NoReadyPods"
)

// refine corrects the phase that the operator gives by what the pods show. Operators lag behind their pods, and most of them
// see neither a crash loop nor an image that cannot be pulled. Serving pods are the current ones that hold the model.
//
//   - Terminating and Failed stand: nobody knows better than the object and the operator.
//   - Failed, where no serving pod is ready and a container of any pod cannot start without somebody doing something.
//   - Running stands as long as a serving pod is ready, also where others are in trouble: the reasons tell of those. Where
//     pods are known and none is ready it is Deploying, at once: the operator will say the same when it has noticed.
//   - Pending becomes Deploying when a node has taken a serving pod, Deploying becomes Pending while none has taken any.
func refine(d *api.Deployment, states []podState, current []currentPod, reasons *reasonList) {
	if d.Phase == api.PhaseTerminating || d.Phase == api.PhaseFailed {
		return
	}
	if len(states) == 0 {
		explainNoPods(d, reasons)
		return
	}
	ready, scheduled, unscheduled := 0, 0, 0
	for _, pod := range current {
		switch {
		case !pod.replica:
			continue
		case pod.ready:
			ready++
		case pod.unscheduled:
			unscheduled++
		}
		if !pod.unscheduled {
			scheduled++
		}
	}
	if d.Replicas.Desired == 0 {
		return
	}
	switch {
	case ready > 0:
		if d.Phase == api.PhasePending {
			d.Phase = api.PhaseDeploying
		}
	case anyFatal(states):
		d.Phase = api.PhaseFailed
	case scheduled == 0 && unscheduled > 0:
		d.Phase = api.PhasePending
	case scheduled > 0 && d.Phase == api.PhasePending:
		d.Phase = api.PhaseDeploying
	case d.Phase == api.PhaseRunning:
		d.Phase = api.PhaseDeploying
		if len(reasons.entries) == 0 {
			reasons.add(rankOther, api.Reason{
				Reason: reasonNoneReady, Message: "The operator says it is running, but no pod is ready.",
			}, "")
		}
	}
}

// anyFatal tells whether a container of a pod that is to stay cannot run.
func anyFatal(states []podState) bool {
	for i := range states {
		s := &states[i]
		if s.deleting() || s.over() {
			continue
		}
		for _, f := range s.faults {
			if f.fatal {
				return true
			}
		}
	}
	return false
}

// explainNoPods gives a reason where there is neither a pod nor a word of the operator.
func explainNoPods(d *api.Deployment, reasons *reasonList) {
	if d.Phase == api.PhaseRunning || d.Replicas.Desired == 0 || len(reasons.entries) > 0 {
		return
	}
	if d.Message == "" && len(d.Conditions) == 0 {
		reasons.add(rankOther, api.Reason{
			Reason:  reasonNoStatus,
			Message: "No pods yet, and no word of the operator: it may not be running, or not watch this namespace.",
		}, "")
		return
	}
	reasons.add(rankOther, api.Reason{Reason: reasonNoPods, Message: "No pods yet."}, "")
}
