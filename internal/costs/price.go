package costs

// Source is where a figure is from.
type Source string

// The sources.
const (
	SourceAPI     Source = "cloud-api"
	SourceTable   Source = "price-table"
	SourceUnknown Source = "unknown"
)

// Confidence is how far a figure can be believed.
type Confidence string

// The grades: what the provider says now for the region; a list price; a list price of elsewhere, or none.
const (
	ConfidenceHigh   Confidence = "high"
	ConfidenceMedium Confidence = "medium"
	ConfidenceLow    Confidence = "low"
)

// Question is what a machine costs.
type Question struct {
	InstanceType string
	Provider     Provider
	// Region may be empty where nothing tells it.
	Region string
	// GPU and AttachedGPUs are those of a machine whose type does not tell them.
	GPU          string
	AttachedGPUs int
	// Offline asks nobody: only the table answers.
	Offline bool
}

// Price is what a machine costs for an hour on demand, with Linux.
type Price struct {
	InstanceType string
	Provider     Provider
	Region       string
	Hourly       float64
	Currency     string
	Source       Source
	// AsOf is the day of the figure, as in 2006-01-02.
	AsOf       string
	Confidence Confidence
	// GPUs of the machine, 0 where it has none or the table does not tell.
	GPUs int
	// Cached is set where the answer was kept from before.
	Cached bool
	Notes  []string
}

// HoursPerMonth is what a month is counted as.
const HoursPerMonth = 730
