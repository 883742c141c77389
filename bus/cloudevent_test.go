package bus

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestEventSubjects(t *testing.T) {
	for want, event := range map[string]api.Event{
		"kubefoundry.events.deployments.ml.ml/kaito/llama=2E3.phase-changed": {
			Key: api.DeploymentKey("ml", "kaito", "llama.3"), Change: api.EventPhaseChanged,
		},
		"kubefoundry.events.capacity._.cluster.gpus-lost": {Key: api.CapacityKey(), Change: api.EventGPUsLost},
		"kubefoundry.events.nodes._.a=20b=2A=3E.deleted":  {Key: api.NodeKey("a b*>"), Change: api.EventDeleted},
	} {
		assert.Equal(t, want, eventSubject(event))
	}
}

func TestEventIsACloudEvent(t *testing.T) {
	event := api.Event{
		Key: pod(1), Change: api.EventPodCrashed, Time: time.Date(2030, 1, 2, 3, 4, 5, 6e8, time.FixedZone("", 3600)),
		Message: `said "no" <again>`, Document: []byte(`{"phase":"Failed"}`), Previous: []byte(`{"phase":"Running"}`),
	}
	body, err := encodeEvent(event, "42", "/clusters/a")
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"specversion": "1.0",
		"id": "42",
		"source": "/clusters/a",
		"type": "io.kubefoundry.pods.crashed",
		"subject": "ml/p1",
		"time": "2030-01-02T02:04:05.6Z",
		"datacontenttype": "application/json",
		"data": {
			"message": "said \"no\" <again>",
			"document": {"phase": "Failed"},
			"previous": {"phase": "Running"}
		}
	}`, string(body))

	event.Previous = nil
	body, err = encodeEvent(event, "42", "/clusters/a")
	require.NoError(t, err)
	var decoded struct{ Data map[string]json.RawMessage }
	require.NoError(t, json.Unmarshal(body, &decoded))
	assert.NotContains(t, decoded.Data, "previous", "what was not there is left out")

	event.Document = []byte(`{"cut`)
	_, err = encodeEvent(event, "42", "/clusters/a")
	require.ErrorIs(t, err, errEncode)
}

func TestEventIDsSayWhatHappened(t *testing.T) {
	event := api.Event{Key: pod(1), Change: api.EventChanged, Document: []byte(`{"b":1}`), Previous: []byte(`{"a":1}`)}
	id := eventID(event)
	assert.Len(t, id, 32)

	later := event
	later.Time, later.Message = time.Now(), "in other words"
	assert.Equal(t, id, eventID(later), "a second leader tells the same")

	for what, other := range map[string]api.Event{
		"key":      {Key: pod(2), Change: event.Change, Document: event.Document, Previous: event.Previous},
		"change":   {Key: event.Key, Change: api.EventCreated, Document: event.Document, Previous: event.Previous},
		"document": {Key: event.Key, Change: event.Change, Document: []byte(`{"c":1}`), Previous: event.Previous},
		"swapped":  {Key: event.Key, Change: event.Change, Document: event.Previous, Previous: event.Document},
		"boundary": {Key: event.Key, Change: event.Change, Document: []byte(`1}{"b":1}`), Previous: []byte(`{"a":`)},
	} {
		assert.NotEqual(t, id, eventID(other), what)
	}
}
