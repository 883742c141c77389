package huggingface

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/kubefoundry/kubefoundry/api"
)

// Options of a Client.
type Options struct {
	// BaseURL is where Hugging Face is, https://huggingface.co when left out. A mirror speaks the same protocol.
	BaseURL string
	// ClientID is that of the OAuth application. Without one nobody can log in, and tokens are given by hand.
	ClientID string
	// Timeout of one question; 15 s when left out.
	Timeout time.Duration
	// Keep is how long answers are kept; 5 minutes when left out.
	Keep time.Duration
	// Transport is for tests; the default one honours HTTPS_PROXY.
	Transport http.RoundTripper
}

// DefaultBaseURL is where Hugging Face is.
const DefaultBaseURL = "https://huggingface.co"

const (
	maxKept     = 512 // answers about one model or token
	maxSearches = 64  // searches, each of up to maxScanned models
	// What is read of an answer at most.
	searchLimit = 32 << 20
	modelLimit  = 16 << 20
	smallLimit  = 1 << 20
	// maxWait is the longest that is waited before a question is asked again.
	maxWait = 2 * time.Second
)

// Client asks Hugging Face.
type Client struct {
	base     *url.URL
	clientID string
	http     *http.Client
	timeout  time.Duration
	keep     time.Duration
	kept     *cache.LRUExpireCache
	searches *cache.LRUExpireCache
	flights  singleflight.Group
}

// New makes a Client.
func New(o Options) (*Client, error) {
	base, err := url.Parse(cmp.Or(strings.TrimRight(o.BaseURL, "/"), DefaultBaseURL))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" {
		return nil, fmt.Errorf("the address of Hugging Face %q is none: want scheme and host, as in %s", o.BaseURL, DefaultBaseURL)
	}
	c := &Client{
		base: base, clientID: o.ClientID, timeout: cmp.Or(o.Timeout, 15*time.Second), keep: cmp.Or(o.Keep, 5*time.Minute),
		kept: cache.NewLRUExpireCache(maxKept), searches: cache.NewLRUExpireCache(maxSearches),
	}
	transport := o.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost, own.ResponseHeaderTimeout = 8, c.timeout
		transport = own
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: c.redirect}
	return c, nil
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// redirect follows what leads to another path of Hugging Face, as for a model that was renamed, and nothing else: the token
// and what was asked for are for that address only.
func (c *Client) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || r.URL.Host != c.base.Host || r.URL.Scheme != c.base.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// question is one request.
type question struct {
	method, path string
	query        url.Values
	form         url.Values
	token        string
	limit        int64
	// about is the model that is asked for, for the words of errors.
	about string
}

// answer is a response whose body was read.
type answer struct {
	body   []byte
	header http.Header
}

// ask sends a question, once more if it fails for the moment.
func (c *Client) ask(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a, err := c.once(ctx, q)
	var failed *momentary
	if !errors.As(err, &failed) || q.method != http.MethodGet {
		return a, err
	}
	if failed.after > maxWait {
		return a, err
	}
	timer := time.NewTimer(failed.after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return c.once(ctx, q)
	case <-ctx.Done():
		return a, err
	}
}

// momentary is an error that may be over soon.
type momentary struct {
	err   *api.Error
	after time.Duration
}

func (m *momentary) Error() string { return m.err.Error() }

// Unwrap lets errors.As find the *api.Error.
func (m *momentary) Unwrap() error { return m.err }

const shortly = 200 * time.Millisecond

func (c *Client) once(ctx context.Context, q question) (answer, error) {
	target := *c.base
	target.Path += q.path
	target.RawQuery = q.query.Encode()
	var body io.Reader = http.NoBody
	if q.form != nil {
		body = strings.NewReader(q.form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, q.method, target.String(), body)
	if err != nil {
		return answer{}, fmt.Errorf("request to Hugging Face: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "kubefoundry")
	if q.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if q.token != "" {
		r.Header.Set("Authorization", "Bearer "+q.token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, c.unreachable(ctx, err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(io.LimitReader(response.Body, q.limit+1))
	if err != nil {
		return answer{}, c.unreachable(ctx, err)
	}
	if response.StatusCode != http.StatusOK {
		return answer{}, c.refused(q, response, read)
	}
	if int64(len(read)) > q.limit {
		return answer{}, api.Errorf(api.ErrorCodeUnavailable, "Hugging Face answers with more than %d MiB, which is not taken", q.limit>>20)
	}
	return answer{read, response.Header}, nil
}

// unreachable says that no answer came, and why as far as that holds nothing secret: an error of package net names addresses,
// and one of package url the whole question.
func (c *Client) unreachable(ctx context.Context, err error) error {
	why := "it cannot be reached from this server"
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return api.Errorf(api.ErrorCodeUnavailable, "the question to Hugging Face was given up")
	case ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		why = fmt.Sprintf("it did not answer within %s", c.timeout)
	}
	return api.Errorf(api.ErrorCodeUnavailable, "Hugging Face (%s) does not answer: %s. Models of the catalogue do not need it", c.base.Host, why)
}

// refused puts what Hugging Face says into our words. A 401 must not become one of ours: a client would take it for its own
// login and throw that away.
func (c *Client) refused(q question, response *http.Response, body []byte) error {
	code, status := response.Header.Get("X-Error-Code"), response.StatusCode
	switch {
	case code == "GatedRepo" || status == http.StatusForbidden && q.about != "":
		where := *c.base
		where.Path += "/" + q.about
		if q.token == "" {
			return api.Errorf(api.ErrorCodeForbidden, "%s is gated: ask for access at %s, and give a Hugging Face token of yours (header X-HF-Token)", q.about, where.String())
		}
		return api.Errorf(api.ErrorCodeForbidden, "%s is gated, and your Hugging Face token does not open it: ask for access at %s, or use a token that may read gated models", q.about, where.String())
	case status == http.StatusNotFound, code == "RepoNotFound", code == "EntryNotFound", code == "RevisionNotFound",
		status == http.StatusUnauthorized && q.token == "" && q.about != "":
		if q.token == "" {
			return api.Errorf(api.ErrorCodeNotFound, "Model not found: Hugging Face has no %s, or it is private and needs a token (header X-HF-Token)", cmp.Or(q.about, "such thing"))
		}
		return api.Errorf(api.ErrorCodeNotFound, "Model not found: Hugging Face has no %s, or your token does not open it", cmp.Or(q.about, "such thing"))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e := api.Errorf(api.ErrorCodeInvalidRequest, "Hugging Face refuses the token: it is wrong, has expired or was revoked; make one at %s/settings/tokens", c.base)
		e.Details = []api.ErrorDetail{{Field: "X-HF-Token", Message: "refused by Hugging Face"}}
		return e
	case status == http.StatusTooManyRequests:
		return &momentary{api.Errorf(api.ErrorCodeUnavailable, "Hugging Face takes no more questions from this server for now: try again later, or with a token, which may ask more"), retryAfter(response)}
	case status >= http.StatusInternalServerError:
		return &momentary{api.Errorf(api.ErrorCodeUnavailable, "Hugging Face has a problem (status %d): try again later", status), retryAfter(response)}
	case status >= http.StatusBadRequest:
		return api.Errorf(api.ErrorCodeInvalidRequest, "Hugging Face refuses the question%s", said(body))
	}
	return api.Errorf(api.ErrorCodeUnavailable, "Hugging Face (%s) sends elsewhere, which is not followed (status %d)", c.base.Host, status)
}

func retryAfter(r *http.Response) time.Duration {
	text := r.Header.Get("Retry-After")
	if text == "" {
		return shortly
	}
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Second * time.Duration(min(seconds, 3600))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return shortly
}

// said is Hugging Face's own reason, as far as it is a short plain text.
func said(body []byte) string {
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	text := strings.ToValidUTF8(cmp.Or(e.Description, e.Error), "")
	if text == "" || len(text) > 300 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) || tokenLike.MatchString(text) {
		return ""
	}
	return ": " + text
}

var tokenLike = regexp.MustCompile(`hf_[A-Za-z0-9]{4}`)

// hash names a token in keys.
func hash(token string) string {
	if token == "" {
		return "-"
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:16])
}

// cached is the answer to a question that was asked a short time ago, or fetches it. Callers with the same question at the
// same time share it: it is asked to its end, though the caller who began may be gone.
func cached[T any](ctx context.Context, c *Client, key string, fetch func(ctx context.Context) (T, error)) (T, error) {
	if kept, ok := c.kept.Get(key); ok {
		return kept.(T), nil
	}
	flight := c.flights.DoChan(key, func() (any, error) {
		got, err := fetch(context.WithoutCancel(ctx))
		if err == nil {
			c.kept.Add(key, got, c.keep)
		}
		return got, err
	})
	select {
	case result := <-flight:
		if result.Err != nil {
			var none T
			return none, result.Err
		}
		return result.Val.(T), nil
	case <-ctx.Done():
		var none T
		return none, c.unreachable(ctx, ctx.Err())
	}
}

// decode reads an answer that has to be JSON.
func decode(a answer, into any) error {
	if err := json.NewDecoder(bytes.NewReader(a.body)).Decode(into); err != nil {
		return api.Errorf(api.ErrorCodeUnavailable, "Hugging Face answers with something that is not understood; a proxy may stand before it")
	}
	return nil
}

var (
	idPattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$`)
	tokenPattern = regexp.MustCompile(`^[\x21-\x7e]+$`)
)

// CheckID tells whether a text can be a model's id. It goes into the path of a question.
func CheckID(id string) error {
	if !idPattern.MatchString(id) || strings.Contains(id, "..") {
		return api.Errorf(api.ErrorCodeInvalidRequest, "not a model's id: want owner/name as Hugging Face has it, of letters, digits, dots, dashes and underscores")
	}
	return nil
}

// CheckToken tells whether a text can be a token. It goes into a header.
func CheckToken(token string) error {
	if token != "" && (len(token) > 4096 || !tokenPattern.MatchString(token)) {
		e := api.Errorf(api.ErrorCodeInvalidRequest, "not a Hugging Face token: it has characters that none has")
		e.Details = []api.ErrorDetail{{Field: "X-HF-Token", Message: "has characters that no token has"}}
		return e
	}
	return nil
}
