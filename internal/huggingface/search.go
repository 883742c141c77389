package huggingface

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	pageSize = 100 // models that one question to Hugging Face brings
	// maxScanned is how many models of one search are looked at: whoever has not found it by then writes more words.
	maxScanned = 1000
	maxWords   = 200
)

// Query is a search.
type Query struct {
	Words               string
	Limit, Offset       int
	IncludeIncompatible bool
	Token               string
}

// results are the models that a search found so far. Hugging Face gives them by a cursor and does not count them; what was
// read is kept, so that page n is what follows page n-1, whatever else changes meanwhile.
type results struct {
	turn    chan struct{} // held by who reads on
	all     []assessed
	fit     []int // of all, those that an engine runs
	scanned map[string]bool
	cursor  string
	begun   bool
	over    bool // there are no more
}

func (r *results) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *results) give() { <-r.turn }

func (r *results) found(all bool) int {
	if all {
		return len(r.all)
	}
	return len(r.fit)
}

// done tells that nothing more will be read.
func (r *results) done() bool { return r.over || len(r.scanned) >= maxScanned }

// Search finds models by words.
func (c *Client) Search(ctx context.Context, q Query) (api.HfModelSearch, error) {
	answer := api.HfModelSearch{Models: []api.HfModel{}, Query: q.Words}
	words := strings.Join(strings.Fields(q.Words), " ")
	if len(words) > maxWords {
		return answer, api.Errorf(api.ErrorCodeInvalidRequest, "the search has more than %d characters", maxWords)
	}
	if err := CheckToken(q.Token); err != nil {
		return answer, err
	}
	found := c.results(hash(q.Token) + " " + strings.ToLower(words))
	if err := found.take(ctx); err != nil {
		return answer, c.unreachable(ctx, err)
	}
	defer found.give()
	for !found.done() && found.found(q.IncludeIncompatible) <= q.Offset+q.Limit { // one more, to know of a next page
		if err := c.readOn(ctx, found, words, q.Token); err != nil {
			return answer, err
		}
	}
	total := found.found(q.IncludeIncompatible)
	for i := min(q.Offset, total); i < min(q.Offset+q.Limit, total); i++ {
		at := i
		if !q.IncludeIncompatible {
			at = found.fit[i]
		}
		answer.Models = append(answer.Models, found.all[at].HfModel)
	}
	answer.Total, answer.TotalIsExact = total, found.over
	answer.HasMore = q.Offset+len(answer.Models) < total
	if found.done() && !found.over {
		answer.Incomplete = "Only the " + itoa(maxScanned) + " most downloaded of what these words match were looked at. Search for more words to find others."
	}
	return answer, nil
}

// results are those of a search that was begun a short time ago, or new ones.
func (c *Client) results(key string) *results {
	kept, err, _ := c.flights.Do("search "+key, func() (any, error) { // two who begin at once share one
		if kept, ok := c.searches.Get(key); ok {
			return kept, nil
		}
		fresh := &results{turn: make(chan struct{}, 1), scanned: map[string]bool{}}
		c.searches.Add(key, fresh, c.keep)
		return fresh, nil
	})
	_ = err // there is none
	return kept.(*results)
}

// readOn reads one page of Hugging Face's.
func (c *Client) readOn(ctx context.Context, found *results, words, token string) error {
	query := url.Values{
		"search": {words}, "limit": {strconv.Itoa(pageSize)}, "sort": {"downloads"}, "direction": {"-1"},
		"expand[]": {"author", "downloads", "likes", "pipeline_tag", "library_name", "gated", "tags", "config", "safetensors", "gguf"},
	}
	if found.cursor != "" {
		query.Set("cursor", found.cursor)
	}
	a, err := c.ask(ctx, question{method: http.MethodGet, path: "/api/models", query: query, token: token, limit: searchLimit})
	if err != nil {
		return err
	}
	var page []remote
	if err := decode(a, &page); err != nil {
		return err
	}
	for i := range page {
		if page[i].ID == "" || found.scanned[page[i].ID] { // what moved between two pages
			continue
		}
		found.scanned[page[i].ID] = true
		one := assess(&page[i])
		found.all = append(found.all, one)
		if one.Compatible {
			found.fit = append(found.fit, len(found.all)-1)
		}
	}
	next := nextCursor(a.header)
	found.over = next == "" || len(page) == 0 || found.begun && next == found.cursor
	found.cursor, found.begun = next, true
	return nil
}

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)

// nextCursor is the cursor of the next page, out of the header Link. The address that it stands in is not followed.
func nextCursor(h http.Header) string {
	m := nextLink.FindStringSubmatch(strings.Join(h.Values("Link"), ", "))
	if m == nil {
		return ""
	}
	next, err := url.Parse(m[1])
	if err != nil {
		return ""
	}
	return cmp.Or(next.Query().Get("cursor"), "")
}

func itoa(n int) string { return strconv.Itoa(n) }
