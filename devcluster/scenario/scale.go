package scenario

import (
	"fmt"
	"math/rand/v2"

	"github.com/kubefoundry/kubefoundry/devcluster/standin"
)

// scaleNamespaces is over how many namespaces a large number is spread.
const scaleNamespaces = 20

// scale is n small deployments of five pods on average, two fifths KAITO, two
// fifths Dynamo, one fifth Ray. GPUs are asked for only while the cluster has some.
func scale(n, gpus int, chance *rand.Rand) []deployment {
	models := []string{
		"Qwen/Qwen3-0.6B", "Qwen/Qwen2.5-7B-Instruct", "meta-llama/Llama-3.2-1B-Instruct",
		"microsoft/Phi-3-mini-4k-instruct", "mistralai/Mistral-7B-Instruct-v0.3",
	}
	list := make([]deployment, 0, n)
	for i := range n {
		d := deployment{
			namespace: fmt.Sprintf("team-%02d", i%scaleNamespaces), name: fmt.Sprintf("model-%04d", i),
			engine: vllm, model: models[chance.IntN(len(models))],
		}
		// A graph has a frontend and a Ray cluster a head beside its workers.
		switch i % 5 {
		case 0, 1:
			d.runtime, d.worker.replicas = standin.KAITO, 3+chance.IntN(5)
		case 2, 3:
			d.runtime, d.worker.replicas = standin.Dynamo, 2+chance.IntN(5)
		default:
			d.runtime, d.worker.replicas = standin.KubeRay, 2+chance.IntN(5)
		}
		switch {
		case gpus >= d.worker.replicas:
			d.worker.gpus = 1
			gpus -= d.worker.replicas
		case d.runtime == standin.KAITO:
			d.engine, d.model = llamacpp, "llama3.2:1b"
		}
		list = append(list, d)
	}
	return list
}
