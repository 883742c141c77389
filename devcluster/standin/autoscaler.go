package standin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const (
	autoscalerPeriod = 10 * time.Second
	autoscalerMap    = "cluster-autoscaler-status"
	// autoscalerTime is how a cluster-autoscaler prints the time of its report.
	autoscalerTime = "2006-01-02 15:04:05.999999999 -0700 MST"
)

// autoscaler writes the report of a cluster-autoscaler that watches the node
// pools and never changes them.
type autoscaler struct {
	*cluster
	started time.Time
}

func newAutoscaler(c *cluster) *autoscaler { return &autoscaler{cluster: c, started: time.Now()} }

func (a *autoscaler) run(ctx context.Context) {
	ticker := time.NewTicker(autoscalerPeriod)
	defer ticker.Stop()
	for {
		if err := a.write(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("autoscaler", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (a *autoscaler) write(ctx context.Context) error {
	nodes, err := a.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	now := time.Now()
	text, err := yaml.Marshal(a.report(nodes, now))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	configMaps := a.core.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: autoscalerMap, Namespace: metav1.NamespaceSystem,
			Annotations: map[string]string{"cluster-autoscaler.kubernetes.io/last-updated": now.UTC().Format(autoscalerTime)},
		},
		Data: map[string]string{"status": string(text)},
	}
	_, err = configMaps.Update(ctx, config, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = configMaps.Create(ctx, config, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("config map %s: %w", autoscalerMap, err)
	}
	return nil
}

// report has the fields of the YAML that cluster-autoscaler 1.30 and later write.
func (a *autoscaler) report(nodes []*corev1.Node, now time.Time) map[string]any {
	pools := map[string][]*corev1.Node{}
	for _, node := range nodes {
		name := poolOf(node)
		pools[name] = append(pools[name], node)
	}
	var groups []any
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		members := pools[name]
		health := a.health(members, now)
		health["cloudProviderTarget"] = len(members)
		health["minSize"] = 0
		health["maxSize"] = 2 * len(members)
		groups = append(groups, map[string]any{
			"name": name, "health": health,
			"scaleUp": a.activity("NoActivity", now), "scaleDown": a.activity("NoCandidates", now),
		})
	}
	return map[string]any{
		"time": now.UTC().Format(autoscalerTime), "autoscalerStatus": "Running",
		"clusterWide": map[string]any{
			"health":  a.health(nodes, now),
			"scaleUp": a.activity("NoActivity", now), "scaleDown": a.activity("NoCandidates", now),
		},
		"nodeGroups": groups,
	}
}

func (a *autoscaler) health(nodes []*corev1.Node, now time.Time) map[string]any {
	ready := 0
	for _, node := range nodes {
		if nodeReady(node) {
			ready++
		}
	}
	health := a.activity("Healthy", now)
	if ready < len(nodes) {
		health["status"] = "Unhealthy"
	}
	health["nodeCounts"] = map[string]any{
		"registered": map[string]any{
			"total": len(nodes), "ready": ready, "notStarted": 0,
			"unready": map[string]any{"total": len(nodes) - ready, "resourceUnready": 0},
		},
		"longUnregistered": 0, "unregistered": 0,
	}
	return health
}

func (a *autoscaler) activity(status string, now time.Time) map[string]any {
	return map[string]any{"status": status, "lastProbeTime": stamp(now), "lastTransitionTime": stamp(a.started)}
}

// poolOf is the node pool by the labels of the managed clusters.
func poolOf(node *corev1.Node) string {
	l := node.Labels
	return cmp.Or(l["agentpool"], l["kubernetes.azure.com/agentpool"], l["cloud.google.com/gke-nodepool"], l["eks.amazonaws.com/nodegroup"], "default")
}
