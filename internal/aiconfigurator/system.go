package aiconfigurator

import "github.com/kubefoundry/kubefoundry/internal/gpus"

// systems are the GPUs that the command knows, by our names. What is not here is not taken for something similar.
var systems = map[string]string{
	"H100-80GB": "h100_sxm",
	"H200":      "h200_sxm",
	"A100-80GB": "a100_sxm",
	"B200":      "b200_sxm",
	"GB200":     "gb200_sxm",
	"L40S":      "l40s",
}

// systemOf is the command's name of a GPU.
func systemOf(gpu string) (string, bool) {
	product, ok := gpus.Find(gpu)
	if !ok || gpus.Slice(gpu) {
		return "", false
	}
	system, ok := systems[product.Name]
	return system, ok
}

// backends are the engines that the command has data for on a system, the one to take first.
func backends(system string) []string {
	if system == "h100_sxm" {
		return []string{"vllm", "sglang", "trtllm"}
	}
	return []string{"trtllm"}
}
