package costs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/internal/costs"
	"github.com/kubefoundry/kubefoundry/internal/gpus"
)

const sku = "Standard_NC24ads_A100_v4"

// seller speaks the protocol of Azure's retail prices.
type seller struct {
	web     *httptest.Server
	asked   atomic.Int32
	mu      sync.Mutex
	filters []string
	answer  func(w http.ResponseWriter, r *http.Request)
}

func newSeller(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *seller {
	t.Helper()
	s := &seller{answer: answer}
	s.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		s.filters = append(s.filters, r.URL.Query().Get("$filter"))
		s.mu.Unlock()
		s.answer(w, r)
	}))
	t.Cleanup(s.web.Close)
	return s
}

func (s *seller) prices(t *testing.T) *costs.Prices {
	t.Helper()
	p, err := costs.New(costs.Options{AzureURL: s.web.URL, Timeout: 2 * time.Second, Transport: &http.Transport{}})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

type item map[string]any

func priced(price float64, change item) item {
	i := item{
		"currencyCode": "USD", "retailPrice": price, "armRegionName": "westeurope", "armSkuName": sku, "productName": "Virtual Machines NCads A100 v4 Series",
		"skuName": "NC24ads A100 v4", "meterName": "NC24ads A100 v4", "serviceName": "Virtual Machines", "unitOfMeasure": "1 Hour", "type": "Consumption",
		"isPrimaryMeterRegion": true, "effectiveStartDate": "2024-01-01T00:00:00Z",
	}
	maps.Copy(i, change)
	return i
}

func page(w http.ResponseWriter, next string, items ...item) {
	_ = json.NewEncoder(w).Encode(map[string]any{"Items": items, "NextPageLink": next, "Count": len(items)})
}

func TestAzureIsAskedOnceAnHour(t *testing.T) {
	s := newSeller(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("$skip") == "" { // the link leads elsewhere; only its query is taken
			page(w, "https://elsewhere.example:443/api/retail/prices?$filter="+url.QueryEscape(r.URL.Query().Get("$filter"))+"&$skip=100",
				priced(9, item{"productName": "Virtual Machines NCads Series Windows"}), priced(0.4, item{"skuName": "NC24ads A100 v4 Spot"}),
				priced(0.5, item{"meterName": "NC24ads Low Priority"}), priced(0, nil), priced(1, item{"unitOfMeasure": "1/Month"}),
				priced(2, item{"armRegionName": "eastus"}), priced(7, item{"type": "Reservation"}), priced(8, item{"isPrimaryMeterRegion": false}))
			return
		}
		page(w, "", priced(4.5, item{"effectiveStartDate": "2023-01-01T00:00:00Z"}), priced(4.775, nil))
	})
	p := s.prices(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			price, _ := p.Of(t.Context(), costs.Question{InstanceType: sku, Region: "westeurope"})
			if assert.NotNil(t, price) {
				assert.InDelta(t, 4.775, price.Hourly, 0)
				assert.Equal(t, costs.SourceAPI, price.Source)
				assert.Equal(t, costs.ConfidenceHigh, price.Confidence)
				assert.Equal(t, time.Now().UTC().Format(time.DateOnly), price.AsOf)
				assert.Equal(t, 1, price.GPUs)
			}
		})
	}
	group.Wait()
	require.EqualValues(t, 2, s.asked.Load(), "two pages, once for all")
	again, _ := p.Of(t.Context(), costs.Question{InstanceType: sku, Region: "westeurope"})
	require.True(t, again.Cached)
	require.EqualValues(t, 2, s.asked.Load())
	require.Equal(t, 1, p.Kept())
	require.Contains(t, s.filters[0], "armSkuName eq '"+sku+"' and armRegionName eq 'westeurope'")
}

func TestWhatAzureDoesNotSellIsNotPriced(t *testing.T) {
	s := newSeller(t, func(w http.ResponseWriter, _ *http.Request) { page(w, "") })
	p := s.prices(t)
	for range 3 {
		price, notes := p.Of(t.Context(), costs.Question{InstanceType: sku, Region: "westeurope"})
		require.Nil(t, price)
		require.Contains(t, notes[0], "no price on demand")
	}
	require.EqualValues(t, 1, s.asked.Load(), "that there is none is remembered")
}

// TestAnOutageLeavesTheTable: however the service fails, it is asked at most twice, and the list price says what it is.
func TestAnOutageLeavesTheTable(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		asked  int32
	}{
		"down":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, 2},
		"limited":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, 2},
		"refused":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, 1},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, 1},
		"endless":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Items":"`+strings.Repeat("x", 5<<20)) }, 1},
		"leads away": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}, 1},
		"never in end": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSeller(t, tt.answer)
			p := s.prices(t)
			price, notes := p.Of(t.Context(), costs.Question{InstanceType: sku, Region: "westeurope"})
			require.NotNil(t, price)
			require.Equal(t, costs.SourceTable, price.Source)
			require.Equal(t, costs.ConfidenceLow, price.Confidence, "of another region")
			require.NotEmpty(t, price.AsOf)
			require.Contains(t, strings.Join(notes, " "), "could not be asked")
			require.Equal(t, tt.asked, s.asked.Load())
			_, _ = p.Of(t.Context(), costs.Question{InstanceType: sku, Region: "westeurope"})
			require.Equal(t, tt.asked, s.asked.Load(), "who is down is left alone for a while")
		})
	}
}

// TestHostileNamesStayInTheirPlace: nothing that is sent as a machine type or a region leaves its quotes.
func TestHostileNamesStayInTheirPlace(t *testing.T) {
	s := newSeller(t, func(w http.ResponseWriter, _ *http.Request) { page(w, "") })
	p := s.prices(t)
	for _, name := range []string{"Standard_' or 1 eq 1 or '", "Standard_NC24\n", "Standard_../../x", "", "Standard_" + strings.Repeat("x", 200)} {
		price, notes := p.Of(t.Context(), costs.Question{InstanceType: name, Region: "eastus"})
		require.Nil(t, price, name)
		require.NotEmpty(t, notes)
	}
	_, _ = p.Of(t.Context(), costs.Question{InstanceType: sku, Region: "east' or '"})
	for _, filter := range s.filters {
		require.Equal(t, 8, strings.Count(filter, "'"), filter)
	}
}

func TestProviders(t *testing.T) {
	for name, want := range map[string]costs.Provider{
		"Standard_ND96isr_H100_v5": costs.Azure, "standard_d4s_v3": costs.Azure, "Basic_A1": costs.Azure,
		"p4de.24xlarge": costs.AWS, "g6e.xlarge": costs.AWS, "m7i-flex.large": costs.AWS, "u-6tb1.metal": costs.AWS,
		"a3-highgpu-8g": costs.GCP, "g2-standard-4": costs.GCP, "n1-standard-4": costs.GCP, "n2d-standard-2": costs.GCP,
		"": "", "bare-metal": "", "NVIDIA-L4": "", "cx22": "", "BM.GPU.H100.8": "",
	} {
		assert.Equal(t, want, costs.ProviderOf(name), name)
	}
}

// TestNoFigureIsZeroForWantOfOne: for whatever is asked, a figure has a source, and what has no source has no figure.
func TestNoFigureIsZeroForWantOfOne(t *testing.T) {
	p, err := costs.New(costs.Options{})
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		machine := rapid.SampledFrom([]string{"", sku, "g5.xlarge", "g5.48xlarge", "g2-standard-4", "n1-standard-8", "p5.48xlarge", "m5.large", "bare-metal", "x'); --"}).Draw(t, "machine")
		label := rapid.SampledFrom([]string{"", "NVIDIA-A10G", "Tesla-T4", "NVIDIA-B200", "V100", "Radeon"}).Draw(t, "label")
		ask := costs.Ask{GPUs: rapid.IntRange(0, 16).Draw(t, "gpus"), Replicas: rapid.IntRange(1, 9).Draw(t, "replicas")}
		each := rapid.IntRange(0, 8).Draw(t, "each")
		product, _ := gpus.Find(label)
		price, notes := p.Of(t.Context(), costs.Question{InstanceType: machine, Region: rapid.SampledFrom([]string{"", "us-east-1", "x y"}).Draw(t, "region"), GPU: product.Name, AttachedGPUs: each})
		for _, b := range []any{costs.Breakdown(ask, label, price, each, notes), costs.ForGPU(costs.Ask{GPUs: max(ask.GPUs, 1), Replicas: 1}, label)} {
			text, _ := json.Marshal(b)
			var got struct {
				Estimate struct {
					Hourly, Monthly          *float64
					Source, Confidence, AsOf string
				}
				PerGpu struct{ Hourly *float64 }
				Notes  []string
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			known := got.Estimate.Source != "unknown"
			if known != (got.Estimate.Hourly != nil) || known != (got.Estimate.Monthly != nil) || got.Estimate.Confidence == "" {
				t.Fatalf("%s", text)
			}
			if known && (*got.Estimate.Hourly <= 0 || got.Estimate.AsOf == "") || !known && len(got.Notes) == 0 {
				t.Fatalf("%s", text)
			}
		}
	})
}

func TestAShareOfAMachine(t *testing.T) {
	p, err := costs.New(costs.Options{})
	require.NoError(t, err)
	price, notes := p.Of(t.Context(), costs.Question{InstanceType: "g5.48xlarge", Region: "us-east-1"})
	require.Equal(t, costs.ConfidenceMedium, price.Confidence)
	b := costs.Breakdown(costs.Ask{GPUs: 2, Replicas: 3}, "NVIDIA-A10G", price, 8, notes)
	require.InDelta(t, 16.288*6/8, *b.Estimate.Hourly, 1e-4)
	require.InDelta(t, 16.288*6/8*730, *b.Estimate.Monthly, 0.01)
	require.Equal(t, "A10G", b.NormalizedGpuModel)
	require.Equal(t, 6, b.TotalGpus)

	attached, _ := p.Of(t.Context(), costs.Question{InstanceType: "n1-standard-4", Region: "us-central1", GPU: "T4", AttachedGPUs: 2})
	require.InDelta(t, 0.19+0.7, attached.Hourly, 1e-9)
	none, _ := p.Of(t.Context(), costs.Question{InstanceType: "n1-standard-4", Region: "us-central1", GPU: "H200", AttachedGPUs: 2})
	require.Nil(t, none, "without its GPUs it would be another machine's price")
}
