package streamclient_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

type frame struct{ kind, cursor, data string }

// readAll returns the events of a stream and the error that ended it.
func readAll(r *streamclient.Reader) (frames []frame, err error) {
	for {
		event, err := r.Next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, frame{event.Type, event.Cursor, string(event.Data)})
	}
}

func TestReader(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []frame
		// cursor is where the reader stands in the end, having started at e-1.
		cursor string
	}{
		"an event":                       {"event: synced\nid: e-2\ndata: {}\n\n", []frame{{"synced", "e-2", "{}"}}, "e-2"},
		"without a type":                 {"data: x\n\n", []frame{{"message", "e-1", "x"}}, "e-1"},
		"without spaces":                 {"event:a\nid:e-2\ndata:x\n\n", []frame{{"a", "e-2", "x"}}, "e-2"},
		"with Windows line ends":         {"event: a\r\ndata: x\r\n\r\n", []frame{{"a", "e-1", "x"}}, "e-1"},
		"with a byte order mark":         {"\xef\xbb\xbfdata: x\n\n", []frame{{"message", "e-1", "x"}}, "e-1"},
		"with several lines":             {"data: x\ndata\ndata: y\n\n", []frame{{"message", "e-1", "x\n\ny"}}, "e-1"},
		"with empty data":                {"data:\n\n", []frame{{"message", "e-1", ""}}, "e-1"},
		"two spaces, one of which stays": {"data:  x\n\n", []frame{{"message", "e-1", " x"}}, "e-1"},
		"comments and unknown fields":    {": hello\nfoo: bar\ndata: x\n\n: more\n\n", []frame{{"message", "e-1", "x"}}, "e-1"},
		"an id holds on":                 {"id: e-2\ndata: x\n\ndata: y\n\n", []frame{{"message", "e-2", "x"}, {"message", "e-2", "y"}}, "e-2"},
		"an empty id clears":             {"id\ndata: x\n\ndata: y\n\n", []frame{{"message", "", "x"}, {"message", "", "y"}}, ""},
		"an id alone counts":             {"id: e-2\n\n", nil, "e-2"},
		"an id with a NUL does not":      {"id: e\x00\ndata: x\n\n", []frame{{"message", "e-1", "x"}}, "e-1"},
		"a type without data is nothing": {"event: a\n\ndata: x\n\n", []frame{{"message", "e-1", "x"}}, "e-1"},
		"an unfinished event is nothing": {"id: e-2\nevent: a\ndata: x\n", nil, "e-1"},
		"an unfinished line is nothing":  {"data: x\n\nid: e-3", []frame{{"message", "e-1", "x"}}, "e-1"},
	} {
		t.Run(name, func(t *testing.T) {
			for how, stream := range map[string]io.Reader{
				"at once":      strings.NewReader(tt.text),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tt.text)),
			} {
				r := streamclient.NewReader(stream, "e-1")
				frames, err := readAll(r)
				require.ErrorIs(t, err, io.EOF, how)
				assert.Equal(t, tt.want, frames, how)
				assert.Equal(t, tt.cursor, r.Cursor(), how)
			}
		})
	}
}

func TestReaderTakesLongDocumentsAndNoMonsters(t *testing.T) {
	long := strings.Repeat("x", 1<<20-len("data: "))
	frames, err := readAll(streamclient.NewReader(strings.NewReader("data: "+long+"\n\ndata: y\n\n"), ""))
	require.ErrorIs(t, err, io.EOF)
	require.Len(t, frames, 2)
	assert.Len(t, frames[0].data, len(long))
	assert.Equal(t, "y", frames[1].data)

	_, err = readAll(streamclient.NewReader(strings.NewReader("data: "+long+"xxx\n\n"), ""))
	require.ErrorIs(t, err, streamclient.ErrTooLong, "one line")

	_, err = readAll(streamclient.NewReader(strings.NewReader(strings.Repeat("data: "+long+"\n", 5)+"\n"), ""))
	require.ErrorIs(t, err, streamclient.ErrTooLong, "one event")
}

func TestRetryIsRemembered(t *testing.T) {
	r := streamclient.NewReader(strings.NewReader("retry: 2500\n\nretry: soon\n\n"), "")
	_, err := readAll(r)
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, int64(2500), r.Retry().Milliseconds())
}

// TestReaderReadsWhatWasWritten writes events as a server does and expects them back, however the stream is cut up.
func TestReaderReadsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-z{}:" \[\]]{0,20}`)
		var text strings.Builder
		var want []frame
		cursor := ""
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		for range rapid.IntRange(0, 6).Draw(t, "events") {
			f := frame{kind: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "type"), data: word.Draw(t, "data")}
			if rapid.Bool().Draw(t, "has id") {
				cursor = rapid.StringMatching(`([a-z0-9]{1,5}-[0-9]{1,5})?`).Draw(t, "id")
				text.WriteString("id: " + cursor + end)
			}
			f.cursor = cursor
			want = append(want, f)
			text.WriteString("event: " + f.kind + end + "data: " + f.data + end + end)
		}
		frames, err := readAll(streamclient.NewReader(&chunks{t, text.String()}, ""))
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, want, frames)
	})
}

// chunks cuts a text anywhere.
type chunks struct {
	t    *rapid.T
	rest string
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.rest == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), rapid.IntRange(1, 40).Draw(c.t, "chunk"))], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func FuzzReader(f *testing.F) {
	f.Add("event: changes\nid: e-1\ndata: {}\n\n", "e-0")
	f.Add("\xef\xbb\xbfid\r\ndata\r\n\r\nretry: 99999999999999\n", "")
	f.Fuzz(func(t *testing.T, text, id string) {
		whole, err1 := readAll(streamclient.NewReader(strings.NewReader(text), id))
		pieces, err2 := readAll(streamclient.NewReader(iotest.HalfReader(strings.NewReader(text)), id))
		assert.Equal(t, whole, pieces)
		assert.Equal(t, err1, err2)
		for _, f := range whole {
			if strings.ContainsAny(f.kind, "\n") || strings.ContainsAny(f.cursor, "\n\x00") && f.cursor != id {
				t.Errorf("%q", f)
			}
		}
	})
}
