package aiconfigurator

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// resultFile is the best configurations of one way of serving, in a folder `agg` or `disagg`.
const (
	resultFile  = "best_config_topn.csv"
	maxResult   = 1 << 20
	maxFiles    = 10000
	folderWhole = "agg"
	folderSplit = "disagg"
)

var errNoResult = errors.New("it wrote no result that is understood")

// result is the first row of such a file.
type result map[string]string

// readResults takes the better of what the command found for both ways.
func readResults(dir string, q Question) (api.AiAnalysis, error) {
	root, err := os.OpenRoot(dir) // a link leads nowhere else
	if err != nil {
		return api.AiAnalysis{}, errNoResult
	}
	defer func() { _ = root.Close() }()
	found := map[string]result{}
	files := 0
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if files++; err != nil || files > maxFiles {
			return fs.SkipAll
		}
		folder := filepath.Base(filepath.Dir(path))
		if entry.Name() != resultFile || folder != folderWhole && folder != folderSplit {
			return nil
		}
		if row, err := readRow(root, path); err == nil {
			found[folder] = row
		}
		return nil
	})
	whole, split := found[folderWhole], found[folderSplit]
	switch {
	case err != nil || whole == nil && split == nil:
		return api.AiAnalysis{}, errNoResult
	case whole == nil || split != nil && split.better(whole, q.Latency):
		return split.disaggregated(q)
	}
	return whole.aggregated(q)
}

func readRow(root *os.Root, path string) (result, error) {
	file, err := root.Open(path)
	if err != nil {
		return nil, errNoResult
	}
	defer file.Close()
	reader := csv.NewReader(io.LimitReader(file, maxResult))
	reader.FieldsPerRecord = -1
	header, err := reader.Read()
	if err != nil {
		return nil, errNoResult
	}
	values, err := reader.Read()
	if err != nil {
		return nil, errNoResult
	}
	row := result{}
	for i, name := range header {
		if i < len(values) {
			row[strings.TrimSpace(name)] = strings.TrimSpace(values[i])
		}
	}
	return row, nil
}

// number is the first of the columns that has one.
func (r result) number(columns ...string) (float64, bool) {
	for _, column := range columns {
		if f, err := strconv.ParseFloat(r[column], 64); err == nil && f > 0 && !math.IsInf(f, 0) && f < 1e12 {
			return f, true
		}
	}
	return 0, false
}

func (r result) whole(fallback int, columns ...string) int {
	if f, ok := r.number(columns...); ok && f >= 1 && f < 1<<24 {
		return int(f)
	}
	return fallback
}

const (
	perGPU    = "tokens/s/gpu"
	inCluster = "tokens/s/gpu_cluster"
)

func (r result) better(other result, latency bool) bool {
	if latency {
		mine, ok := r.number("ttft")
		theirs, also := other.number("ttft")
		return ok && (!also || mine < theirs)
	}
	mine, ok := r.number(inCluster, perGPU)
	theirs, also := other.number(inCluster, perGPU)
	return ok && (!also || mine > theirs)
}

func (r result) base(q Question) api.AiAnalysis {
	a := api.AiAnalysis{Success: true, Source: api.AiSourceCli, Mode: api.ModeAggregated, Replicas: 1, Warnings: []string{}}
	a.Config.GpuMemoryUtilization = 0.8
	input, output := r.whole(0, "isl"), r.whole(0, "osl")
	if a.Config.MaxModelLen = input + output; a.Config.MaxModelLen == 0 {
		a.Config.MaxModelLen = leastContext
	}
	var prediction api.AiPrediction
	if f, ok := r.number(perGPU, inCluster); ok {
		prediction.TokensPerSecondPerGpu = &f
	}
	if f, ok := r.number("ttft"); ok {
		prediction.TimeToFirstTokenMs = &f
	}
	if f, ok := r.number("tpot"); ok {
		prediction.TimePerOutputTokenMs = &f
	}
	if prediction != (api.AiPrediction{}) {
		a.Prediction = &prediction
	}
	if input > 0 && output > 0 {
		a.Warnings = append(a.Warnings, fmt.Sprintf("It is for requests of %d tokens with answers of %d.", input, output))
	}
	if q.GPUs < 2 {
		a.Warnings = append(a.Warnings, "The command plans for at least 2 GPUs.")
	}
	return a
}

func (r result) aggregated(q Question) (api.AiAnalysis, error) {
	a := r.base(q)
	split := r.whole(0, "tp")
	if split == 0 {
		return a, errNoResult
	}
	a.Config.TensorParallelDegree = split
	stages := r.whole(1, "pp")
	if stages > 1 {
		a.Config.PipelineParallelDegree = stages
	}
	a.Config.MaxBatchSize = r.whole(256, "bs")
	a.Config.MaxNumSeqs = r.whole(0, "concurrency")
	a.Replicas = max(q.GPUs/(split*stages), 1)
	return a, nil
}

var splitOf = regexp.MustCompile(`tp([0-9]{1,4})`)

func (r result) disaggregated(q Question) (api.AiAnalysis, error) {
	a := r.base(q)
	a.Mode = api.ModeDisaggregated
	for side, into := range map[string]*int{"(p)": &a.Config.PrefillTensorParallel, "(d)": &a.Config.DecodeTensorParallel} {
		*into = r.whole(0, side+"tp")
		if m := splitOf.FindStringSubmatch(r[side+"parallel"]); *into == 0 && m != nil {
			*into, _ = strconv.Atoi(m[1])
		}
		if *into == 0 {
			return a, errNoResult
		}
	}
	a.Config.PrefillReplicas, a.Config.DecodeReplicas = r.whole(1, "(p)workers"), r.whole(1, "(d)workers")
	a.Config.TensorParallelDegree = a.Config.DecodeTensorParallel
	a.Config.MaxBatchSize = r.whole(256, "(d)bs", "bs")
	a.Config.MaxNumSeqs = r.whole(0, "concurrency")
	return a, nil
}
