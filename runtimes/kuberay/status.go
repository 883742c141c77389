package kuberay

import (
	"maps"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// status is what KubeRay says of a RayService.
type status struct {
	phase           api.Phase
	message         string
	reasons         []api.Reason
	active, pending cluster
}

// cluster is a RayCluster that a RayService has: the one that serves, or the one that is to take its place.
type cluster struct {
	name           string
	desired, ready int
	apps           []application
	reasons        []api.Reason
}

// application is a Ray Serve application, as Ray's dashboard gives it to KubeRay.
type application struct{ name, status, message string }

func readStatus(obj map[string]any, conditions []api.Condition) status {
	s := status{
		active:  readCluster(field.Map(obj, "status", "activeServiceStatus")),
		pending: readCluster(field.Map(obj, "status", "pendingServiceStatus")),
	}
	ready := runtimes.FindCondition(conditions, "Ready", "RayServiceReady")
	legacy := strings.ToLower(field.Text(obj, "status", "serviceStatus"))
	s.reasons = []api.Reason{}
	switch failed := s.failedApps(); {
	case field.Bool(obj, "spec", "suspend") || runtimes.FindCondition(conditions, "Suspended").Status == "True":
		s.phase = api.PhasePending
		s.say(runtimes.OperatorReason("Suspended", "", "It is suspended."))
	case ready.Reason == "InitializingTimeout" || ready.Reason == "ValidationFailed":
		s.phase = api.PhaseFailed
		s.say(runtimes.OperatorReason(ready.Reason, ready.Type, ready.Message))
	case s.active.failed():
		s.phase = api.PhaseFailed
		s.say(failed)
	case ready.Status == "True" || legacy == "running" || legacy == "ready":
		// An upgrade that fails leaves the cluster before it at work.
		s.phase = api.PhaseRunning
		s.reasons = append(s.reasons, failed...)
	case s.pending.failed() || strings.Contains(legacy, "fail") || legacy == "unhealthy":
		s.phase = api.PhaseFailed
		s.say(failed)
	case s.active.name != "" || s.pending.name != "" || legacy != "":
		s.phase = api.PhaseDeploying
	default:
		s.phase = api.PhasePending
	}
	if s.phase != api.PhaseRunning {
		s.say(s.pending.reasons)
		s.say(s.active.reasons)
		s.say(s.slowApps())
		if ready.Status == "False" && len(s.reasons) == 0 {
			s.say(runtimes.OperatorReason(ready.Reason, ready.Type, ready.Message))
		}
		if legacy != "" && len(s.reasons) == 0 {
			s.say(runtimes.OperatorReason(field.Text(obj, "status", "serviceStatus"), "", ""))
		}
	}
	return s
}

// say adds reasons; the first ever said is the message.
func (s *status) say(reasons []api.Reason) {
	for _, reason := range reasons {
		if slices.Contains(s.reasons, reason) {
			continue
		}
		s.reasons = append(s.reasons, reason)
		if s.message == "" {
			s.message = reason.Message
		}
	}
}

// failedApps has a reason for each application that cannot be deployed or is not healthy.
func (s *status) failedApps() []api.Reason {
	var reasons []api.Reason
	for _, c := range []*cluster{&s.pending, &s.active} {
		for _, app := range c.apps {
			if app.status == "DEPLOY_FAILED" || app.status == "UNHEALTHY" {
				reasons = append(reasons, app.reason())
			}
		}
	}
	return reasons
}

// slowApps has a reason for each application that is not up yet and says why.
func (s *status) slowApps() []api.Reason {
	reasons := s.failedApps()
	for _, c := range []*cluster{&s.pending, &s.active} {
		for _, app := range c.apps {
			if app.status != "RUNNING" && app.message != "" {
				reasons = append(reasons, app.reason())
			}
		}
	}
	return reasons
}

func (a application) reason() api.Reason {
	status := a.status
	if status == "" {
		status = "NOT_STARTED"
	}
	message := "application " + a.name
	if a.message != "" {
		message += ": " + a.message
	}
	return api.Reason{Reason: status, Message: runtimes.Steady(message)}
}

// failed tells whether an application could not be deployed. One that is UNHEALTHY may recover by itself.
func (c *cluster) failed() bool {
	return slices.ContainsFunc(c.apps, func(a application) bool { return a.status == "DEPLOY_FAILED" })
}

func readCluster(m map[string]any) cluster {
	c := cluster{name: field.Text(m, "rayClusterName")}
	ray := field.Map(m, "rayClusterStatus")
	c.desired, _ = field.Int(ray, "desiredWorkerReplicas")
	conditions := runtimes.Conditions(field.List(ray, "conditions"))
	if n, ok := field.Int(ray, "readyWorkerReplicas"); ok || len(conditions) > 0 {
		c.ready = n // left out where it is 0, by releases that have conditions
	} else {
		c.ready, _ = field.Int(ray, "availableWorkerReplicas")
	}
	if failure := runtimes.FindCondition(conditions, "ReplicaFailure"); failure.Status == "True" {
		c.reasons = append(c.reasons, runtimes.OperatorReason(failure.Reason, failure.Type, failure.Message)...)
	}
	if field.Text(ray, "state") == "failed" {
		c.reasons = append(c.reasons, runtimes.OperatorReason("", "RayClusterFailed", field.Text(ray, "reason"))...)
	}

	apps := field.Map(m, "applicationStatuses")
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		app := field.Map(apps, name)
		a := application{name: name, status: strings.ToUpper(field.Text(app, "status")), message: field.Text(app, "message")}
		if a.message == "" {
			a.message = deploymentMessage(field.Map(app, "serveDeploymentStatuses"))
		}
		c.apps = append(c.apps, a)
	}
	return c
}

// deploymentMessage is the first word that a Serve deployment of an application says about itself.
func deploymentMessage(deployments map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(deployments)) {
		if field.Text(deployments, name, "status") == "HEALTHY" {
			continue
		}
		if message := field.Text(deployments, name, "message"); message != "" {
			return name + ": " + message
		}
	}
	return ""
}
