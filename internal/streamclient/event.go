package streamclient

import (
	"encoding/json"
	"fmt"

	"github.com/kubefoundry/kubefoundry/api"
)

// Types of events, as openapi.yaml describes them.
const (
	EventReset    = "reset"
	EventChanges  = "changes"
	EventSynced   = "synced"
	EventBookmark = "bookmark"
	EventBye      = "bye"
)

// Event is one frame of the stream.
type Event struct {
	// Type is one of the constants above; a consumer passes over others.
	Type string
	// Cursor is where the stream stands after this event, empty where it stands nowhere.
	Cursor string
	// Data is the JSON of the event. It is valid until the handler returns.
	Data []byte
}

// Changes decodes an event of type EventChanges. The documents do not share memory with Data.
func (e Event) Changes() ([]api.Change, error) {
	var data api.ChangesEvent
	err := e.decode(&data)
	return data.Changes, err
}

// Synced decodes an event of type EventSynced.
func (e Event) Synced() (data api.SyncedEvent, err error) {
	err = e.decode(&data)
	return data, err
}

// Bookmark decodes an event of type EventBookmark.
func (e Event) Bookmark() (data api.BookmarkEvent, err error) {
	err = e.decode(&data)
	return data, err
}

// Reset decodes an event of type EventReset.
func (e Event) Reset() (data api.ResetEvent, err error) {
	err = e.decode(&data)
	return data, err
}

// Bye decodes an event of type EventBye.
func (e Event) Bye() (data api.ByeEvent, err error) {
	err = e.decode(&data)
	return data, err
}

func (e Event) decode(into any) error {
	if err := json.Unmarshal(e.Data, into); err != nil {
		return fmt.Errorf("event %.32q: %w", e.Type, err)
	}
	return nil
}
