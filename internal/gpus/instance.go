package gpus

import (
	"regexp"
	"strings"
)

// instance is what a cloud's machine type says of its GPUs. A memory of 0 means that of the product.
type instance struct {
	product string
	memory  int
}

// instanceTypes are the machine types with GPUs, the first that matches. They are matched in lower case, from the start.
// Whole words are compared, so that an A100 is not taken for an A10, nor a T4 in the NC series for a V100.
var instanceTypes = compile([]instanceRow{
	// Azure. The NVads_A10 series gives out parts of a GPU.
	{`(standard_)?nv6ads_a10_`, instance{"A10", 4}},
	{`(standard_)?nv12ads_a10_`, instance{"A10", 8}},
	{`(standard_)?nv18ads_a10_`, instance{"A10", 12}},
	{`(standard_)?n[a-z0-9_-]*_a10_`, instance{"A10", 0}},
	{`(standard_)?nd96asr_(a100_)?v4`, instance{"A100-40GB", 40}},
	{`(standard_)?n[a-z0-9_-]*_a100_`, instance{"A100-80GB", 80}},
	{`(standard_)?nd96amsr_v4`, instance{"A100-80GB", 80}},
	{`(standard_)?nc[a-z0-9]*_h100_`, instance{"H100-NVL", 94}},
	{`(standard_)?n[a-z0-9_-]*_h100_`, instance{"H100-80GB", 80}},
	{`(standard_)?n[a-z0-9_-]*_h200_`, instance{"H200", 0}},
	{`(standard_)?n[a-z0-9_-]*_gb200_`, instance{"GB200", 0}},
	{`(standard_)?n[a-z0-9_-]*_gb300_`, instance{"GB300", 0}},
	{`(standard_)?n[a-z0-9_-]*_mi300x_`, instance{"MI300X", 0}},
	{`(standard_)?n[a-z0-9_-]*_t4_`, instance{"T4", 0}},
	{`(standard_)?nc[0-9]+r?s_v3`, instance{"V100-16GB", 16}},
	{`(standard_)?nc[0-9]+r?s_v2`, instance{"P100", 0}},
	{`(standard_)?nd40rs_v2`, instance{"V100-32GB", 32}},
	{`(standard_)?nv[0-9]+s_v[23]`, instance{"M60", 0}},

	// AWS.
	{`p6e-gb300`, instance{"GB300", 0}},
	{`p6e-gb200`, instance{"GB200", 0}},
	{`p6-b300\.`, instance{"B300", 0}},
	{`p6-b200\.`, instance{"B200", 0}},
	{`p5en?\.`, instance{"H200", 0}},
	{`p5\.`, instance{"H100-80GB", 80}},
	{`p4de\.`, instance{"A100-80GB", 80}},
	{`p4d\.`, instance{"A100-40GB", 40}},
	{`p3dn\.`, instance{"V100-32GB", 32}},
	{`p3\.`, instance{"V100-16GB", 16}},
	{`p2\.`, instance{"K80", 0}},
	{`g7e\.`, instance{"RTX-PRO-6000", 0}},
	{`g6e\.`, instance{"L40S", 0}},
	{`gr?6\.`, instance{"L4", 0}},
	{`g5g\.`, instance{"T4G", 0}},
	{`g5\.`, instance{"A10G", 0}},
	{`g4dn\.`, instance{"T4", 0}},
	{`g4ad\.`, instance{"V520", 0}},
	{`g3s?\.`, instance{"M60", 0}},

	// Google.
	{`a4x-`, instance{"GB200", 0}},
	{`a4-`, instance{"B200", 0}},
	{`a3-ultragpu-`, instance{"H200", 0}},
	{`a3-`, instance{"H100-80GB", 80}},
	{`a2-ultragpu-`, instance{"A100-80GB", 80}},
	{`a2-`, instance{"A100-40GB", 40}},
	{`g4-`, instance{"RTX-PRO-6000", 0}},
	{`g2-(standard|custom)-`, instance{"L4", 0}},

	// Oracle.
	{`bm\.gpu4\.`, instance{"A100-40GB", 40}},
	{`bm\.gpu\.a100-v2\.`, instance{"A100-80GB", 80}},
	{`(bm|vm)\.gpu\.a10\.`, instance{"A10", 0}},
	{`bm\.gpu\.l40s[.-]`, instance{"L40S", 0}},
	{`bm\.gpu\.h100\.`, instance{"H100-80GB", 80}},
	{`bm\.gpu\.h200\.`, instance{"H200", 0}},
	{`bm\.gpu\.b200\.`, instance{"B200", 0}},
	{`bm\.gpu\.gb200\.`, instance{"GB200", 0}},
	{`bm\.gpu\.mi300x\.`, instance{"MI300X", 0}},
})

type instanceRow struct {
	pattern string
	instance
}

type instanceMatch struct {
	pattern *regexp.Regexp
	instance
}

func compile(rows []instanceRow) []instanceMatch {
	matches := make([]instanceMatch, len(rows))
	for i, row := range rows {
		matches[i] = instanceMatch{regexp.MustCompile("^" + row.pattern), row.instance}
	}
	return matches
}

// OfInstance returns the GPU of a machine type and the memory of one in GiB, empty and 0 where it has none or is not known.
func OfInstance(instanceType string) (product string, memory int) {
	if instanceType == "" {
		return "", 0
	}
	name := strings.ToLower(instanceType)
	for i := range instanceTypes {
		if instanceTypes[i].pattern.MatchString(name) {
			return instanceTypes[i].product, instanceTypes[i].memory
		}
	}
	return "", 0
}
