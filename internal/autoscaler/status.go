package autoscaler

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	// StatusNamespace and StatusName are where the cluster-autoscaler keeps its status.
	StatusNamespace = "kube-system"
	StatusName      = "cluster-autoscaler-status"

	statusKey = "status"
	// lastUpdated is an annotation that older versions keep as well.
	lastUpdated = "cluster-autoscaler.kubernetes.io/last-updated"

	// maxStatus bounds what is parsed: a ConfigMap may hold 1 MiB, a status of 200 node groups takes about 150 KiB.
	maxStatus = 1 << 20
)

// status is what both formats tell.
type status struct {
	health string
	// state is `Running` or `Initializing`; the text format has none.
	state string
	time  time.Time
	// groups is never nil.
	groups []api.NodeGroup
}

var errUnreadable = errors.New("neither of the formats that the cluster-autoscaler writes")

// parse reads the status in the format of cluster-autoscaler 1.30 and later, which is YAML, or of those before, which is
// text for people. It returns what could be read along with an error where that was nothing.
func parse(configMap *corev1.ConfigMap) (status, error) {
	text := configMap.Data[statusKey]
	if len(text) > maxStatus {
		text = text[:maxStatus]
	}
	parsed, err := parseYAML(text)
	if err != nil {
		parsed, err = parseText(text)
	}
	if parsed.time.IsZero() {
		parsed.time = parseTime(configMap.Annotations[lastUpdated])
	}
	if parsed.groups == nil {
		parsed.groups = []api.NodeGroup{}
	}
	return parsed, err
}

// yamlDocument is the part of the YAML format that is used. Sizes have a type that never fails, so that one odd value
// costs that value and not the document.
type yamlDocument struct {
	Time             string `json:"time"`
	AutoscalerStatus string `json:"autoscalerStatus"`
	ClusterWide      struct {
		Health condition `json:"health"`
	} `json:"clusterWide"`
	NodeGroups []struct {
		Name   string    `json:"name"`
		Health condition `json:"health"`
	} `json:"nodeGroups"`
}

type condition struct {
	Status              string `json:"status"`
	CloudProviderTarget number `json:"cloudProviderTarget"`
	MinSize             number `json:"minSize"`
	MaxSize             number `json:"maxSize"`
	NodeCounts          struct {
		Registered struct {
			Total number `json:"total"`
		} `json:"registered"`
	} `json:"nodeCounts"`
}

// number is a size, nil where it is missing or none.
type number struct{ value *int }

func (n *number) UnmarshalJSON(b []byte) error {
	var value int
	if json.Unmarshal(bytes.Trim(b, `"`), &value) == nil && string(b) != "null" && value >= 0 && value <= maxSize {
		n.value = &value
	}
	return nil
}

// maxSize bounds a node group; the number in a status is nobody's to be trusted.
const maxSize = 1 << 20

func (n number) or(other number) int {
	switch {
	case n.value != nil:
		return *n.value
	case other.value != nil:
		return *other.value
	}
	return 0
}

func parseYAML(text string) (status, error) {
	var doc yamlDocument
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return status{}, err
	}
	if doc.Time == "" && doc.AutoscalerStatus == "" && doc.ClusterWide.Health.Status == "" && doc.NodeGroups == nil {
		return status{}, errUnreadable
	}
	parsed := status{
		health: doc.ClusterWide.Health.Status,
		state:  doc.AutoscalerStatus,
		time:   parseTime(doc.Time),
	}
	for _, group := range doc.NodeGroups {
		if group.Name == "" {
			continue
		}
		parsed.groups = append(parsed.groups, api.NodeGroup{
			Name:        groupName(group.Name),
			MinSize:     group.Health.MinSize.or(number{}),
			MaxSize:     group.Health.MaxSize.or(number{}),
			CurrentSize: group.Health.CloudProviderTarget.or(group.Health.NodeCounts.Registered.Total),
		})
	}
	return parsed, nil
}

// groupName shortens the URL that Google's node groups have for a name.
func groupName(name string) string {
	name = strings.TrimRight(name, "/")
	if strings.HasPrefix(name, "https://") {
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return name
}

// layouts are the ways in which the versions of the cluster-autoscaler write times, which is mostly time.Time.String.
var layouts = []string{"2006-01-02 15:04:05.999999999 -0700 MST", time.RFC3339Nano}

// parseTime returns the zero time where the text is none.
func parseTime(text string) time.Time {
	// A time with a monotonic reading ends in "m=+0.1".
	text, _, _ = strings.Cut(strings.TrimSpace(text), " m=")
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 && t.Year() < 10000 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// document returns the status as the API shows it.
func (s status) document() *api.AutoscalerStatus {
	return &api.AutoscalerStatus{
		Health:         cmp.Or(s.health, s.state, "unknown"),
		LastUpdateTime: formatTime(s.time),
		NodeGroups:     s.groups,
	}
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
