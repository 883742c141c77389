package autoscaler

import (
	"bufio"
	"regexp"
	"strconv"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

var (
	textHeader = regexp.MustCompile(`^Cluster-autoscaler status at (.+):$`)
	// textSizes are in the line of a group's health:
	// `Healthy (ready=1 … registered=1 … cloudProviderTarget=1 (minSize=1, maxSize=5))`.
	textSizes = regexp.MustCompile(`\b(registered|cloudProviderTarget|minSize|maxSize)=([0-9]{1,6})\b`)
)

// parseText reads the format that the cluster-autoscaler wrote until version 1.29: two sections of indented lines, the
// second with a block for each node group that starts with its name.
func parseText(text string) (status, error) {
	var parsed status
	var group *api.NodeGroup
	known, inGroups := false, false
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxStatus+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if header := textHeader.FindStringSubmatch(line); header != nil {
			known, parsed.time = true, parseTime(header[1])
			continue
		}
		// Only the first colon separates: names of node groups are URLs at Google.
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok:
		case key == "Cluster-wide":
			known = true
		case key == "NodeGroups":
			known, inGroups = true, true
		case inGroups && key == "Name" && value != "":
			parsed.groups = append(parsed.groups, api.NodeGroup{Name: groupName(value)})
			group = &parsed.groups[len(parsed.groups)-1]
		case key == "Health" && group != nil:
			readSizes(group, value)
		case key == "Health" && parsed.health == "":
			parsed.health, _, _ = strings.Cut(value, " ")
		}
	}
	if !known {
		return status{}, errUnreadable
	}
	return parsed, nil
}

func readSizes(group *api.NodeGroup, text string) {
	for _, match := range textSizes.FindAllStringSubmatch(text, -1) {
		size, err := strconv.Atoi(match[2])
		if err != nil {
			continue
		}
		switch match[1] {
		case "minSize":
			group.MinSize = size
		case "maxSize":
			group.MaxSize = size
		case "registered": // comes before the target, which says more
			group.CurrentSize = size
		case "cloudProviderTarget":
			group.CurrentSize = size
		}
	}
}
