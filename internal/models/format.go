package models

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

//go:embed formats.yaml
var formatsYAML []byte

type formats struct {
	Formats map[string]float64 `json:"formats"`
	Tensors map[string]float64 `json:"tensors"`
}

var knownFormats = sync.OnceValue(func() formats {
	var f formats
	mustRead("formats.yaml", formatsYAML, &f)
	return f
})

// Format is how weights are stored, as in "bf16" or "Q4_K_M". Empty is unknown.
type Format string

// Bits that one weight takes on average; 0 where the format is not known.
func (f Format) Bits() float64 { return knownFormats().Formats[string(f)] }

// Packed tells that several weights lie in one element of a tensor, so that elements are no parameters.
func (f Format) Packed() bool {
	bits := f.Bits()
	return bits > 0 && bits < 8 || strings.HasPrefix(string(f), "gptq")
}

// QuantizationConfig is the part of a config.json that says how its weights are stored. Many tools write it, each in its way.
type QuantizationConfig struct {
	Method       string `json:"quant_method"`
	Bits         int    `json:"bits"`
	Algorithm    string `json:"quant_algo"`
	LoadIn4Bit   bool   `json:"load_in_4bit"`
	LoadIn8Bit   bool   `json:"load_in_8bit"`
	ConfigGroups map[string]struct {
		Weights *struct {
			NumBits int    `json:"num_bits"`
			Type    string `json:"type"`
		} `json:"weights"`
	} `json:"config_groups"`
}

// Format is what the configuration says; empty where it says nothing that is known.
func (q *QuantizationConfig) Format() Format {
	if q == nil {
		return ""
	}
	switch method := strings.ToLower(q.Method); method {
	case "gptq", "gptq_marlin", "auto-round", "autoround":
		return Format(fmt.Sprintf("gptq-%dbit", orDefault(q.Bits, 4)))
	case "awq", "awq_marlin":
		return "awq-4bit"
	case "fp8", "fbgemm_fp8":
		return "fp8"
	case "mxfp4":
		return "mxfp4"
	case "bitsandbytes":
		if q.LoadIn8Bit {
			return "bnb-8bit"
		}
		return "bnb-4bit"
	case "modelopt", "modelopt_fp4":
		switch algorithm := strings.ToUpper(q.Algorithm); {
		case strings.Contains(algorithm, "FP4"):
			return "nvfp4"
		case strings.Contains(algorithm, "FP8"):
			return "fp8"
		}
	case "compressed-tensors":
		for _, group := range q.ConfigGroups {
			switch w := group.Weights; {
			case w == nil:
			case w.NumBits == 8 && w.Type == "float":
				return "fp8"
			case w.NumBits == 8:
				return "int8"
			case w.NumBits == 4 && w.Type == "float":
				return "nvfp4"
			case w.NumBits == 4:
				return "int4"
			}
		}
	}
	switch q.Bits {
	case 4:
		return "4bit"
	case 8:
		return "8bit"
	}
	return ""
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// nameFormats are words of names that say how weights are stored, the first that matches.
var nameFormats = []struct {
	pattern *regexp.Regexp
	format  Format
}{
	{word(`nvfp4|fp4`), "nvfp4"},
	{word(`mxfp4`), "mxfp4"},
	{word(`awq`), "awq-4bit"},
	{word(`gptq[-_]?(?:int|w)?8(?:bit)?`), "gptq-8bit"},
	{word(`gptq`), "gptq-4bit"},
	{word(`bnb[-_]?8bit`), "bnb-8bit"},
	{word(`bnb[-_]?4bit|bnb`), "bnb-4bit"},
	{word(`fp8|f8|fp8[-_]dynamic`), "fp8"},
	{word(`w4a16|w4a8|int4|4[-_]?bits?|[34]bpw`), "int4"},
	{word(`w8a8|w8a16|int8|8[-_]?bits?`), "int8"},
}

func word(alternatives string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[-_./])(?:` + alternatives + `)(?:$|[-_./])`)
}

// FormatFromName is what a repository's name says of its weights; empty where it says nothing.
func FormatFromName(id string) Format {
	name := strings.ToLower(baseName(id))
	for _, known := range nameFormats {
		if known.pattern.MatchString(name) {
			return known.format
		}
	}
	return ""
}

// FormatOfDtype is torch_dtype of a config.json.
func FormatOfDtype(dtype string) Format {
	switch strings.ToLower(strings.TrimPrefix(dtype, "torch.")) {
	case "float32":
		return "fp32"
	case "bfloat16":
		return "bf16"
	case "float16", "half":
		return "fp16"
	case "float8_e4m3fn", "float8_e5m2":
		return "fp8"
	}
	return ""
}

// FormatOfTensors is the format that most elements of unquantised weights have.
func FormatOfTensors(elements map[string]int64) Format {
	var most string
	for dtype, n := range elements {
		if most == "" || n > elements[most] || n == elements[most] && dtype < most {
			most = dtype
		}
	}
	switch most {
	case "F32":
		return "fp32"
	case "F16":
		return "fp16"
	case "BF16":
		return "bf16"
	case "F8_E4M3", "F8_E5M2":
		return "fp8"
	case "I8":
		return "int8"
	}
	return ""
}

// BytesOfTensors is what elements of these types take. It is false where one type is not known.
func BytesOfTensors(elements map[string]int64) (int64, bool) {
	bytes := 0.0
	for dtype, n := range elements {
		size, ok := knownFormats().Tensors[dtype]
		if !ok || n < 0 {
			return 0, false
		}
		bytes += size * float64(n)
	}
	return int64(bytes), len(elements) > 0
}

var (
	ggufFormat = regexp.MustCompile(`(?i)(?:^|[-_.])((?:UD-)?(IQ[1-4]_(?:XXS|XS|NL|S|M)|Q[2-8]_K(?:_(?:S|M|L|XL))?|Q[458]_[01]|BF16|F16|FP16|F32|MXFP4(?:_MOE)?|TQ[12]_0))(?:$|[-_.])`)
	ggufPart   = regexp.MustCompile(`-([0-9]{5})-of-([0-9]{5})[.]gguf$`)
)

// FormatOfGGUF is the quantisation that the name of a GGUF file says; empty where it says none.
func FormatOfGGUF(file string) Format {
	file = ggufPart.ReplaceAllString(file, ".gguf")
	all := ggufFormat.FindAllStringSubmatch(strings.TrimSuffix(baseName(file), ".gguf")+".", -1)
	if len(all) == 0 {
		return ""
	}
	f := strings.ToUpper(all[len(all)-1][2])
	switch f {
	case "FP16":
		f = "F16"
	case "MXFP4_MOE":
		f = "MXFP4"
	}
	return Format(f)
}

// PartOfGGUF tells which part of how many a GGUF file is, and the name that all parts share.
func PartOfGGUF(file string) (stem string, part, of int) {
	m := ggufPart.FindStringSubmatch(file)
	if m == nil {
		return file, 1, 1
	}
	_, _ = fmt.Sscanf(m[1]+" "+m[2], "%d %d", &part, &of) // digits
	return strings.TrimSuffix(file, m[0]), part, max(of, 1)
}
