package costs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultAzureURL is where Azure tells its retail prices, to everybody.
const DefaultAzureURL = "https://prices.azure.com"

const (
	azureVersion = "2023-01-01-preview"
	maxPages     = 5
	maxPageBytes = 4 << 20
)

// azure asks Azure's retail prices.
type azure struct {
	base *url.URL
	http *http.Client
	// pause is how long is waited before a question is asked once more.
	pause time.Duration
}

// azureItem is one price. Fields that are not used are left out.
type azureItem struct {
	CurrencyCode       string    `json:"currencyCode"`
	RetailPrice        float64   `json:"retailPrice"`
	ArmRegionName      string    `json:"armRegionName"`
	ArmSkuName         string    `json:"armSkuName"`
	ProductName        string    `json:"productName"`
	SkuName            string    `json:"skuName"`
	MeterName          string    `json:"meterName"`
	ServiceName        string    `json:"serviceName"`
	UnitOfMeasure      string    `json:"unitOfMeasure"`
	Type               string    `json:"type"`
	IsPrimaryMeter     bool      `json:"isPrimaryMeterRegion"`
	EffectiveStartDate time.Time `json:"effectiveStartDate"`
}

type azurePage struct {
	Items        []azureItem `json:"Items"`
	NextPageLink string      `json:"NextPageLink"`
}

// errNoPrice says that the service knows of no such price.
var errNoPrice = errors.New("no such price")

// price is what a machine costs in a region.
func (a *azure) price(ctx context.Context, q Question) (*Price, error) {
	query := url.Values{"api-version": {azureVersion}, "currencyCode": {"USD"}, "$filter": {azureFilter(q)}}
	var best *azureItem
	for range maxPages {
		page, err := a.page(ctx, query)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if item := &page.Items[i]; item.is(q) && (best == nil || item.before(best)) {
				best = item
			}
		}
		next, err := url.Parse(page.NextPageLink)
		if page.NextPageLink == "" || err != nil {
			break
		}
		// Only the query is taken of what the answer says: where to ask is ours to know.
		query = next.Query()
	}
	if best == nil {
		return nil, errNoPrice
	}
	return &Price{
		InstanceType: q.InstanceType, Provider: Azure, Region: q.Region, Hourly: best.RetailPrice, Currency: best.CurrencyCode,
		Source: SourceAPI, AsOf: time.Now().UTC().Format(time.DateOnly), Confidence: ConfidenceHigh,
	}, nil
}

// azureFilter narrows the question, in OData. A quote in a text is written twice.
func azureFilter(q Question) string {
	text := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armSkuName eq " + text(q.InstanceType) +
		" and armRegionName eq " + text(q.Region)
}

// is tells whether an item is the price of an hour on demand with Linux.
func (i *azureItem) is(q Question) bool {
	return strings.EqualFold(i.ArmSkuName, q.InstanceType) && i.ArmRegionName == q.Region && i.Type == "Consumption" &&
		i.UnitOfMeasure == "1 Hour" && i.RetailPrice > 0 && i.CurrencyCode != "" &&
		(i.ServiceName == "" || i.ServiceName == "Virtual Machines") &&
		!strings.Contains(i.ProductName, "Windows") && !strings.Contains(i.ProductName, "Cloud Services") &&
		!strings.Contains(i.SkuName+i.MeterName, "Spot") && !strings.Contains(i.SkuName+i.MeterName, "Low Priority")
}

// before orders what is left: the primary meter, then the one that holds since the latest.
func (i *azureItem) before(other *azureItem) bool {
	if i.IsPrimaryMeter != other.IsPrimaryMeter {
		return i.IsPrimaryMeter
	}
	return i.EffectiveStartDate.After(other.EffectiveStartDate)
}

// page asks once, and once more if that fails for the moment.
func (a *azure) page(ctx context.Context, query url.Values) (*azurePage, error) {
	page, again, err := a.once(ctx, query)
	if err == nil || !again {
		return page, err
	}
	select {
	case <-ctx.Done():
		return nil, err
	case <-time.After(a.pause):
	}
	page, _, err = a.once(ctx, query)
	return page, err
}

func (a *azure) once(ctx context.Context, query url.Values) (page *azurePage, again bool, err error) {
	u := *a.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/api/retail/prices"
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, false, fmt.Errorf("prices of Azure: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := a.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, false, fmt.Errorf("prices of Azure: %s did not answer in time", a.base.Host)
		}
		return nil, true, fmt.Errorf("prices of Azure: %s cannot be reached", a.base.Host)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests,
			fmt.Errorf("prices of Azure: %s answers with status %d", a.base.Host, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPageBytes+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, false, fmt.Errorf("prices of Azure: %s did not answer in time", a.base.Host)
	case err != nil:
		return nil, true, fmt.Errorf("prices of Azure: the answer of %s broke off", a.base.Host)
	case len(body) > maxPageBytes:
		return nil, false, fmt.Errorf("prices of Azure: the answer of %s is larger than %d bytes", a.base.Host, maxPageBytes)
	}
	page = new(azurePage)
	if err := json.Unmarshal(body, page); err != nil {
		return nil, false, fmt.Errorf("prices of Azure: %s answers with something that is not understood", a.base.Host)
	}
	return page, false, nil
}
