package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// cloudEvent is a CloudEvents 1.0 event in structured mode.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            eventData `json:"data"`
}

type eventData struct {
	Message  string          `json:"message"`
	Document json.RawMessage `json:"document,omitempty"`
	Previous json.RawMessage `json:"previous,omitempty"`
}

var errEncode = errors.New("cannot be encoded")

// encodeEvent makes the body of an event.
func encodeEvent(e api.Event, id, source string) ([]byte, error) {
	body, err := json.Marshal(cloudEvent{
		SpecVersion:     "1.0",
		ID:              id,
		Source:          source,
		Type:            "io.kubefoundry." + string(e.Key.Kind) + "." + string(e.Change),
		Subject:         e.Key.ID,
		Time:            e.Time.UTC(),
		DataContentType: "application/json",
		Data:            eventData{Message: e.Message, Document: e.Document, Previous: e.Previous},
	})
	if err != nil {
		return nil, fmt.Errorf("event %s %s: %w: %w", e.Key, e.Change, errEncode, err)
	}
	return body, nil
}

// eventID is the same whoever makes the event, so that one told twice, by an old leader and its successor, is one. It
// says nothing of the time: it is what changed into what.
func eventID(e api.Event) string {
	hash := sha256.New()
	for _, part := range [][]byte{[]byte(e.Key.String()), []byte(e.Change), e.Previous, e.Document} {
		sum := sha256.Sum256(part)
		hash.Write(sum[:])
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// eventSubject is `kubefoundry.events.<kind>.<namespace or _>.<escaped id>.<change>`.
func eventSubject(e api.Event) string {
	return eventsSubject + e.Key.String() + "." + string(e.Change)
}
