package modelserver

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Tokens of an answer if nobody says how many, and at most.
const (
	defaultTokens = 48
	mostTokens    = 1024
)

// tokenPause is the time between two tokens of a stream.
const tokenPause = 20 * time.Millisecond

// openAI adds the paths that all engines share. Without a model there is none to
// list, and requests for it are not found.
func (s server) openAI(mux *http.ServeMux) {
	owners := map[kind]string{vllm: "vllm", llamaCpp: "llamacpp", dynamoFrontend: "nvidia", rayHead: "ray", rayWorker: "ray"}
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		list := []any{}
		if s.ready {
			list = append(list, map[string]any{
				"id": s.model.served, "object": "model", "created": startOf(s.pod).Unix(), "owned_by": owners[s.kind], "root": s.model.id,
			})
		}
		answer(w, http.StatusOK, map[string]any{"object": "list", "data": list})
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { s.complete(w, r, true) })
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) { s.complete(w, r, false) })
}

type completionRequest struct {
	Model    string `json:"model"`
	Prompt   any    `json:"prompt"`
	Messages []struct {
		Content any `json:"content"`
	} `json:"messages"`
	MaxTokens           int  `json:"max_tokens"`
	MaxCompletionTokens int  `json:"max_completion_tokens"`
	Stream              bool `json:"stream"`
	StreamOptions       struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (r completionRequest) prompt() string {
	if len(r.Messages) == 0 {
		return fmt.Sprint(r.Prompt)
	}
	var all strings.Builder
	for _, m := range r.Messages {
		fmt.Fprintln(&all, m.Content)
	}
	return all.String()
}

func (s server) complete(w http.ResponseWriter, r *http.Request, chat bool) {
	var request completionRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil {
		fail(w, http.StatusBadRequest, "BadRequestError", "The body is no completion request: "+err.Error())
		return
	}
	// llama.cpp has one model and does not look at the name.
	if !s.ready || (s.kind != llamaCpp && request.Model != "" && request.Model != s.model.served) {
		fail(w, http.StatusNotFound, "NotFoundError", fmt.Sprintf("There is no model %q here", request.Model))
		return
	}
	limit := max(request.MaxTokens, request.MaxCompletionTokens)
	words := babble(request.prompt(), limit)
	reply := completion{
		id: fmt.Sprintf("cmpl-%08x", hashOf(request.prompt())), chat: chat, model: s.model.served, created: s.now.Unix(),
		prompt: len(strings.Fields(request.prompt())), words: words, cut: limit > 0 && len(words) >= limit,
	}
	if request.Stream {
		reply.stream(w, r, request.StreamOptions.Usage)
		return
	}
	answer(w, http.StatusOK, reply.whole())
}

// completion is one answer, to be given at once or word by word.
type completion struct {
	id      string
	chat    bool
	model   string
	created int64
	prompt  int
	words   []string
	cut     bool
}

func (c completion) usage() map[string]any {
	return map[string]any{
		"prompt_tokens": c.prompt, "completion_tokens": len(c.words), "total_tokens": c.prompt + len(c.words),
	}
}

func (c completion) reason() string {
	if c.cut {
		return "length"
	}
	return "stop"
}

func (c completion) object(chunk bool) string {
	switch {
	case c.chat && chunk:
		return "chat.completion.chunk"
	case c.chat:
		return "chat.completion"
	default:
		return "text_completion"
	}
}

func (c completion) body(chunk bool, choices ...any) map[string]any {
	return map[string]any{"id": c.id, "object": c.object(chunk), "created": c.created, "model": c.model, "choices": choices}
}

func (c completion) whole() map[string]any {
	text := strings.Join(c.words, "")
	choice := map[string]any{"index": 0, "finish_reason": c.reason()}
	if c.chat {
		choice["message"] = map[string]any{"role": "assistant", "content": text}
	} else {
		choice["text"] = text
	}
	body := c.body(false, choice)
	body["usage"] = c.usage()
	return body
}

func (c completion) stream(w http.ResponseWriter, r *http.Request, usage bool) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	flush := http.NewResponseController(w)
	send := func(body any) bool {
		text, err := json.Marshal(body)
		if err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
			return false
		}
		return flush.Flush() == nil
	}
	delta := func(text string, finish any) map[string]any {
		choice := map[string]any{"index": 0, "finish_reason": finish}
		if c.chat {
			choice["delta"] = map[string]any{"content": text}
		} else {
			choice["text"] = text
		}
		return c.body(true, choice)
	}
	if c.chat && !send(c.body(true, map[string]any{"index": 0, "delta": map[string]any{"role": "assistant", "content": ""}, "finish_reason": nil})) {
		return
	}
	tick := time.NewTicker(tokenPause)
	defer tick.Stop()
	for _, word := range c.words {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		if !send(delta(word, nil)) {
			return
		}
	}
	if !send(delta("", c.reason())) {
		return
	}
	if usage {
		body := c.body(true)
		body["choices"], body["usage"] = []any{}, c.usage()
		if !send(body) {
			return
		}
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// babble is an answer of up to limit words, the same for the same prompt.
func babble(prompt string, limit int) []string {
	n := defaultTokens
	if limit > 0 {
		n = min(limit, mostTokens)
	}
	vocabulary := strings.Fields("a quiet model answers every question with the same few words while clusters " +
		"nodes and pods come and go under it nothing here was learned but all of it arrives in order")
	chance := rand.New(rand.NewPCG(hashOf(prompt), 1)) //nolint:gosec // repeatable, not secret
	words := make([]string, n)
	for i := range words {
		words[i] = " " + vocabulary[chance.IntN(len(vocabulary))]
	}
	words[0] = strings.TrimSpace(words[0])
	return words
}

func hashOf(parts ...string) uint64 {
	sum := fnv.New64a()
	for _, part := range parts {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	return sum.Sum64()
}
