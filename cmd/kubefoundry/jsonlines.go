package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

// jsonLines prints a line of JSON for each change and each other event.
type jsonLines struct {
	encoder *json.Encoder
	errors  io.Writer
}

func newJSONLines(out, errors io.Writer) *jsonLines {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &jsonLines{encoder, errors}
}

// jsonLine is one line.
type jsonLine struct {
	Event  string `json:"event"`
	Cursor string `json:"cursor,omitempty"`

	// Of a change.
	Op   api.ChangeOp    `json:"op,omitempty"`
	Kind api.Kind        `json:"kind,omitempty"`
	ID   string          `json:"id,omitempty"`
	Doc  json.RawMessage `json:"doc,omitempty"`

	// Of the other events.
	Reason string                   `json:"reason,omitempty"`
	Kinds  map[string]api.KindState `json:"kinds,omitempty"`
	Time   *time.Time               `json:"time,omitempty"`
}

func (j *jsonLines) event(e streamclient.Event) error {
	switch e.Type {
	case streamclient.EventChanges:
		changes, err := e.Changes()
		if err != nil {
			return err
		}
		for i, change := range changes {
			line := jsonLine{Event: "change", Op: change.Op, Kind: change.Kind, ID: change.Id, Doc: change.Doc}
			// Whoever goes on from a cursor must have had the whole batch.
			if i == len(changes)-1 {
				line.Cursor = e.Cursor
			}
			if err := j.encoder.Encode(line); err != nil {
				return err
			}
		}
	case streamclient.EventReset:
		reset, err := e.Reset()
		if err != nil {
			return err
		}
		return j.encoder.Encode(jsonLine{Event: e.Type, Reason: string(reset.Reason)})
	case streamclient.EventSynced:
		synced, err := e.Synced()
		if err != nil {
			return err
		}
		return j.encoder.Encode(jsonLine{Event: e.Type, Cursor: e.Cursor, Kinds: synced.Kinds})
	case streamclient.EventBookmark:
		bookmark, err := e.Bookmark()
		if err != nil {
			return err
		}
		return j.encoder.Encode(jsonLine{Event: e.Type, Cursor: e.Cursor, Time: &bookmark.Time})
	}
	return nil
}

func (j *jsonLines) status(s streamclient.Status) {
	if s.Err != nil {
		fmt.Fprintln(j.errors, disconnected(s))
	}
}

func (j *jsonLines) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// disconnected says why there is no connection, and when there will be an attempt at one.
func disconnected(s streamclient.Status) string {
	return fmt.Sprintf("reconnecting in %s: %s", s.Retry.Round(100*time.Millisecond), plain(s.Err.Error(), maxMessage))
}
