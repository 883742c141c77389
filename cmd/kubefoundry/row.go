package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

// row is what the table shows of a deployment, made harmless.
type row struct {
	name, namespace, runtime, model string
	phase                           api.Phase
	ready                           string
	gpus                            int
	created                         time.Time
	message                         string
}

// Longest texts that are kept, in characters: more does not fit into any terminal.
const (
	maxName    = 253
	maxMessage = 500
)

func newRow(doc json.RawMessage) (row, error) {
	var d api.Deployment
	if err := json.Unmarshal(doc, &d); err != nil {
		return row{}, err
	}
	message := d.Message
	if message == "" && len(d.Reasons) > 0 {
		message = cmp.Or(d.Reasons[0].Message, d.Reasons[0].Reason)
	}
	return row{
		name:      plain(d.Name, maxName),
		namespace: plain(d.Namespace, maxName),
		runtime:   plain(d.Provider, maxName),
		model:     plain(cmp.Or(d.ModelId, d.ServedModelName), maxName),
		phase:     api.Phase(plain(string(d.Phase), maxName)),
		ready:     fmt.Sprintf("%d/%d", d.Replicas.Ready, d.Replicas.Desired),
		gpus:      d.Gpus,
		created:   d.CreatedAt,
		message:   plain(message, maxMessage),
	}, nil
}

func (r row) age(now time.Time) string {
	if r.created.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(now.Sub(r.created), 0))
}

// cells are in the order of the table's columns.
func (r row) cells(now time.Time) []string {
	return []string{r.name, r.namespace, r.runtime, r.model, string(r.phase), r.ready, strconv.Itoa(r.gpus), r.age(now), r.message}
}

func compareRows(a, b row) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name), cmp.Compare(a.runtime, b.runtime))
}

// rows keeps the rows of the documents that did not change: a table is drawn ten times a second at most, and all of its
// documents would be decoded each time.
type rows struct {
	cache map[string]cachedRow
}

type cachedRow struct {
	doc json.RawMessage
	row row
}

// of returns the rows of a state's deployments, ordered by namespace, name and runtime. What cannot be decoded shows under
// its id, with the error as the message.
func (r *rows) of(state *streamclient.State) []row {
	next := make(map[string]cachedRow, len(r.cache))
	list := []row{}
	for _, d := range state.Documents() {
		if d.Kind != api.KindDeployments {
			continue
		}
		c, ok := r.cache[d.ID]
		if !ok || !bytes.Equal(c.doc, d.JSON) {
			made, err := newRow(d.JSON)
			if err != nil {
				made = row{name: plain(d.ID, maxName), message: plain("this document cannot be read: "+err.Error(), maxMessage)}
			}
			c = cachedRow{d.JSON, made}
		}
		next[d.ID] = c
		list = append(list, c.row)
	}
	r.cache = next
	slices.SortFunc(list, compareRows)
	return list
}
