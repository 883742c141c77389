package standin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// application is one entry of serveConfigV2 that the status reports on.
type application struct {
	Name       string `json:"name"`
	ImportPath string `json:"import_path"`
}

// servedModel is the model of the first application, in the form of [Model].
func servedModel(object *unstructured.Unstructured) string {
	type loading struct {
		Config struct {
			ID     string `json:"model_id"`
			Source any    `json:"model_source"`
		} `json:"model_loading_config"`
	}
	var config struct {
		Applications []struct {
			Args struct {
				Configs []loading `json:"llm_configs"`
				Decode  loading   `json:"decode_config"`
			} `json:"args"`
		} `json:"applications"`
	}
	text, _, _ := unstructured.NestedString(object.Object, "spec", "serveConfigV2")
	if err := yaml.Unmarshal([]byte(text), &config); err != nil || len(config.Applications) == 0 {
		return ""
	}
	args := config.Applications[0].Args
	args.Configs = append(args.Configs, args.Decode)
	if args.Configs[0].Config.ID == "" {
		return ""
	}
	return fmt.Sprint(args.Configs[0].Config.ID, " ", args.Configs[0].Config.Source)
}

// serveConfig reads the applications of a RayService. Text that is no YAML has
// none, and then nothing ever runs, as with the real one.
func serveConfig(object *unstructured.Unstructured) []application {
	text, _, _ := unstructured.NestedString(object.Object, "spec", "serveConfigV2")
	var config struct {
		Applications []application `json:"applications"`
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return nil
	}
	return config.Applications
}

// serviceView is all that the status of a RayService is computed from.
type serviceView struct {
	object   *unstructured.Unstructured
	goal     string // the cluster of the present spec
	config   []application
	clusters []clusterView
}

type clusterView struct {
	object *unstructured.Unstructured
	spec   rayClusterSpec
	pods   []*corev1.Pod
}

// status computes the status, and which cluster gets the traffic.
func (v serviceView) status(now time.Time) (map[string]any, string) {
	status := statusOf(v.object)
	before := statusOf(v.object)
	active, _, _ := unstructured.NestedString(status, "activeServiceStatus", "rayClusterName")
	if v.find(active) == nil {
		active = ""
	}
	goal := v.find(v.goal)
	goalRuns := goal != nil && len(v.config) > 0 && allRun(goal.applications(v.config, v.ranBefore(status, v.goal)))
	if goalRuns {
		active = v.goal
	}
	pending := ""
	if active != v.goal {
		pending = v.goal
	}
	endpoints := 0
	status["activeServiceStatus"] = map[string]any{}
	if c := v.find(active); c != nil {
		applications := c.applications(v.config, v.ranBefore(before, active))
		status["activeServiceStatus"] = c.serving(active, applications)
		if allRun(applications) {
			endpoints = count(0, "", c.pods).ready
		}
	}
	status["pendingServiceStatus"] = map[string]any{}
	if pending != "" {
		status["pendingServiceStatus"] = map[string]any{"rayClusterName": pending}
		if c := v.find(pending); c != nil {
			status["pendingServiceStatus"] = c.serving(pending, c.applications(v.config, false))
		}
	}
	generation := v.object.GetGeneration()
	number(status, "numServeEndpoints", endpoints)
	status["observedGeneration"] = generation
	setConditions(status, generation, now, serviceConditions(status, active, pending, endpoints)...)
	delete(status, "serviceStatus")
	if ready, _, _ := findCondition(status, "Ready"); ready.status == "True" {
		status["serviceStatus"] = "Running"
	}
	if len(difference(before, status)) > 0 {
		status["lastUpdateTime"] = stamp(now)
	}
	return status, active
}

// serviceConditions are Ready, by the pods that take requests, and
// UpgradeInProgress, by the clusters there are.
func serviceConditions(status map[string]any, active, pending string, endpoints int) []condition {
	was, _, known := findCondition(status, "Ready")
	ready := condition{"Ready", "False", "Initializing", "No application has run yet"}
	switch {
	case endpoints > 0:
		ready = condition{"Ready", "True", "NonZeroServeEndpoints", "Pods take requests"}
	case was.status == "True":
		ready = condition{"Ready", "False", "ZeroServeEndpoints", "No pod takes requests any more"}
	case known:
		ready = was
	}
	upgrade := condition{"UpgradeInProgress", "False", "Initializing", "The first cluster is on its way"}
	switch {
	case active != "" && pending != "":
		upgrade = condition{"UpgradeInProgress", "True", "BothActivePendingClustersExist", "A new cluster is on its way"}
	case active != "":
		upgrade = condition{"UpgradeInProgress", "False", "NoPendingCluster", "There is one cluster, and it is active"}
	}
	return []condition{ready, upgrade}
}

func (v serviceView) find(name string) *clusterView {
	for i := range v.clusters {
		if name != "" && v.clusters[i].object.GetName() == name {
			return &v.clusters[i]
		}
	}
	return nil
}

// ranBefore says whether a cluster is the active one already: its applications
// then count as running, or unhealthy, but not as being deployed.
func (v serviceView) ranBefore(status map[string]any, cluster string) bool {
	active, _, _ := unstructured.NestedString(status, "activeServiceStatus", "rayClusterName")
	return cluster != "" && active == cluster
}

func (c clusterView) serving(name string, applications map[string]any) map[string]any {
	serving := map[string]any{"rayClusterName": name, "rayClusterStatus": statusOf(c.object)}
	put(serving, "applicationStatuses", applications)
	return serving
}

// applications are the states that the dashboard of a cluster would report. There
// are none before the head is ready: nobody answers for them.
func (c clusterView) applications(config []application, ran bool) map[string]any {
	head := count(1, "", withLabel(c.pods, labelRayNodeType, "head"))
	if !head.allReady() {
		return nil
	}
	status, message, deployment := "RUNNING", "", "HEALTHY"
	var missing []string
	var trouble *fault
	ready := 0
	for _, group := range c.spec.Groups {
		t := count(group.pods(), "", withLabel(c.pods, labelRayGroup, group.Name))
		ready += t.ready
		if t.ready < max(group.least(), min(1, group.pods())) {
			missing = append(missing, fmt.Sprintf("%s has %d of %d workers", group.Name, t.ready, t.desired))
			if trouble == nil {
				trouble = t.fault
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		status, deployment, message = "DEPLOYING", "UPDATING", "Waiting for workers: "+strings.Join(missing, ", ")
		switch {
		case trouble != nil && trouble.reason == "CrashLoopBackOff" && trouble.restarts >= 2:
			status, deployment = "DEPLOY_FAILED", "UNHEALTHY"
			message = "A replica failed to start: " + trouble.String()
		case trouble != nil:
			message += "; " + trouble.String()
		}
		if ran && ready == 0 {
			status, deployment = "UNHEALTHY", "UNHEALTHY"
		} else if ran && status == "DEPLOYING" {
			status = "RUNNING"
		}
	}
	states := map[string]any{}
	for _, app := range config {
		state := map[string]any{"status": status}
		if message != "" {
			state["message"] = message
		}
		deployments := map[string]any{}
		for _, name := range deploymentsOf(app) {
			deployments[name] = map[string]any{"status": deployment}
		}
		put(state, "serveDeploymentStatuses", deployments)
		states[app.Name] = state
	}
	return states
}

// deploymentsOf are the deployments that Ray Serve's builders make of an LLM
// application, in short names.
func deploymentsOf(app application) []string {
	if strings.Contains(app.ImportPath, "build_pd_openai_app") {
		return []string{"OpenAiIngress", "PDProxyServer", "Prefill:LLMServer", "Decode:LLMServer"}
	}
	return []string{"LLMServer", "OpenAiIngress"}
}

func allRun(applications map[string]any) bool {
	for _, item := range applications {
		if state, ok := item.(map[string]any); !ok || state["status"] != "RUNNING" {
			return false
		}
	}
	return len(applications) > 0
}
