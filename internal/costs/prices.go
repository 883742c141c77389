package costs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/util/cache"
)

// Options of Prices.
type Options struct {
	// AzureURL is where Azure's retail prices are asked for; DefaultAzureURL is Azure's own. Nobody is asked where it is empty.
	AzureURL string
	// Timeout of one question, with its second try; 10 s when left out.
	Timeout time.Duration
	// Transport is for tests; the default one honours HTTPS_PROXY.
	Transport http.RoundTripper
}

const (
	// MaxKept is how many answers are kept, and Keep how long.
	MaxKept = 1000
	Keep    = time.Hour
	// keepNone is how long it is believed that there is no such price, keepFailure that nobody answers.
	keepNone    = 10 * time.Minute
	keepFailure = 30 * time.Second
	// atOnce is how many questions of one request are asked at the same time.
	atOnce = 4
)

// Prices answers what machines cost.
type Prices struct {
	azure   *azure // nil where nobody is asked
	timeout time.Duration
	kept    *cache.LRUExpireCache
	flights singleflight.Group
}

// New makes Prices.
func New(o Options) (*Prices, error) {
	p := &Prices{timeout: cmp.Or(o.Timeout, 10*time.Second), kept: cache.NewLRUExpireCache(MaxKept)}
	if o.AzureURL == "" {
		return p, nil
	}
	base, err := url.Parse(strings.TrimRight(o.AzureURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" {
		return nil, fmt.Errorf("the address of Azure's prices %q is none: want scheme and host, as in %s", o.AzureURL, DefaultAzureURL)
	}
	transport := o.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = atOnce
		transport = own
	}
	p.azure = &azure{base: base, pause: 250 * time.Millisecond, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return p, nil
}

// Close lets idle connections go.
func (p *Prices) Close() {
	if p.azure != nil {
		p.azure.http.CloseIdleConnections()
	}
}

// Asks tells whether any provider is asked.
func (p *Prices) Asks() bool { return p.azure != nil }

// Kept is how many answers are kept now.
func (p *Prices) Kept() int { return len(p.kept.Keys()) }

// answer is what was found out: a price, or why there is none.
type answer struct {
	price *Price
	err   error
}

// Of returns what a machine costs; nil where nobody knows. The notes say what a reader has to know beside the price, or why
// there is none.
func (p *Prices) Of(ctx context.Context, q Question) (price *Price, notes []string) {
	q.Provider = cmp.Or(q.Provider, ProviderOf(q.InstanceType))
	if q.Provider == "" || prices().Providers[q.Provider] == nil {
		return nil, []string{"Nothing tells whose machine type it is."}
	}
	if q.Region != "" && !IsRegion(q.Region) {
		q.Region = ""
	}
	where := q
	where.Region = cmp.Or(q.Region, defaultRegion(q.Provider))
	if q.Provider == Azure && p.azure != nil && !q.Offline {
		found := p.ask(ctx, where)
		switch {
		case found.price != nil:
			price := *found.price
			if q.Region == "" {
				price.Confidence = ConfidenceMedium
				notes = append(notes, fmt.Sprintf("Nothing tells the machine's region; it is the price in %s.", where.Region))
			}
			if listed := fromTable(where); listed != nil {
				price.GPUs = listed.GPUs
			}
			return &price, notes
		case errors.Is(found.err, errNoPrice):
			// What the provider does not sell there has no price of elsewhere.
			return nil, []string{fmt.Sprintf("Azure has no price on demand for %s in %s.", q.InstanceType, where.Region)}
		default:
			notes = append(notes, "The provider could not be asked: "+found.err.Error()+".")
		}
	}
	listed := fromTable(q)
	if listed == nil {
		return nil, append(notes, fmt.Sprintf("The table of list prices has none for %s.", q.InstanceType))
	}
	if q.Region == "" {
		listed.Confidence = ConfidenceLow
		notes = append(notes, fmt.Sprintf("Nothing tells the machine's region; it is the price in %s.", listed.Region))
	}
	return listed, append(notes, listed.Notes...)
}

// ask asks Azure, or takes what was answered a short time ago. Callers with the same question share it, and it is asked to its
// end though the one who began may be gone.
func (p *Prices) ask(ctx context.Context, q Question) answer {
	key := strings.ToLower(string(q.Provider) + ":" + q.InstanceType + ":" + q.Region)
	if kept, ok := p.kept.Get(key); ok {
		found := kept.(answer)
		if found.price != nil {
			price := *found.price
			price.Cached = true
			found.price = &price
		}
		return found
	}
	flight := p.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.timeout)
		defer cancel()
		price, err := p.azure.price(ctx, q)
		keep := Keep
		switch {
		case errors.Is(err, errNoPrice):
			keep = keepNone
		case err != nil:
			keep = keepFailure
		}
		found := answer{price, err}
		p.kept.Add(key, found, keep)
		return found, nil
	})
	select {
	case result := <-flight:
		return result.Val.(answer)
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
}

// All answers several questions, some at the same time, in their order.
func (p *Prices) All(ctx context.Context, questions []Question) (found []*Price, notes [][]string) {
	found, notes = make([]*Price, len(questions)), make([][]string, len(questions))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, q := range questions {
		group.Go(func() error {
			if q.InstanceType == "" {
				notes[i] = []string{"Nothing tells the machine type of these nodes."}
				return nil
			}
			found[i], notes[i] = p.Of(ctx, q)
			return nil
		})
	}
	_ = group.Wait()
	return found, notes
}
