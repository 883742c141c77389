package scenario

import "github.com/kubefoundry/kubefoundry/devcluster/standin"

// Namespaces of the teams in the demo, beside the runtimes' own.
const (
	dynamoSystem   = "dynamo-system"
	kuberaySystem  = "kuberay-system"
	kaitoWorkspace = "kaito-workspace"

	mlPlatform      = "ml-platform"
	research        = "research"
	customerSupport = "customer-support"
	codeAssist      = "code-assist"
	dataScience     = "data-science"
	searchRanking   = "search-ranking"
	edgeLab         = "edge-lab"
)

// demo is a company that serves models: sixty deployments of eight teams, most of
// them fine, and one of everything that goes wrong. It takes 55 of the 72 GPUs
// that a cluster has by default, so that the last one finds no node with eight.
func demo() []deployment {
	var all []deployment
	all = append(all, demoDynamo()...)
	all = append(all, demoRay()...)
	all = append(all, demoKAITO()...)
	return append(all, deployment{
		runtime: standin.KubeRay, namespace: dataScience, name: "nightly-eval", engine: vllm,
		model: "meta-llama/Llama-3.3-70B-Instruct", gated: true, worker: role{replicas: 2, gpus: 8}, steady: true,
	})
}

func graphOf(namespace, name, engine, model string, replicas, gpus int) deployment {
	return deployment{runtime: standin.Dynamo, namespace: namespace, name: name, engine: engine, model: model, worker: role{replicas: replicas, gpus: gpus}}
}

func demoDynamo() []deployment {
	list := []deployment{
		graphOf(dynamoSystem, "qwen3-0-6b", vllm, "Qwen/Qwen3-0.6B", 1, 1),
		graphOf(dynamoSystem, "llama-3-1-8b-instruct", vllm, "meta-llama/Llama-3.1-8B-Instruct", 2, 1),
		graphOf(dynamoSystem, "deepseek-r1-distill-8b", sglang, "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", 1, 1),
		graphOf(dynamoSystem, "mistral-7b-instruct", trtllm, "mistralai/Mistral-7B-Instruct-v0.3", 1, 1),
		graphOf(mlPlatform, "llama-3-1-8b", vllm, "meta-llama/Llama-3.1-8B-Instruct", 1, 1),
		graphOf(mlPlatform, "llama-3-3-70b", sglang, "meta-llama/Llama-3.3-70B-Instruct", 1, 4),
		graphOf(mlPlatform, "qwen2-5-coder-32b", vllm, "Qwen/Qwen2.5-Coder-32B-Instruct", 1, 2),
		graphOf(mlPlatform, "gpt-oss-20b", trtllm, "openai/gpt-oss-20b", 1, 1),
		graphOf(customerSupport, "support-assistant", vllm, "meta-llama/Llama-3.1-8B-Instruct", 2, 1),
		graphOf(customerSupport, "support-summariser", vllm, "Qwen/Qwen3-4B", 1, 1),
		graphOf(customerSupport, "support-router", sglang, "Qwen/Qwen2.5-1.5B-Instruct", 1, 1),
		graphOf(codeAssist, "qwen2-5-coder-7b", vllm, "Qwen/Qwen2.5-Coder-7B-Instruct", 2, 1),
		graphOf(codeAssist, "deepseek-coder-v2-lite", sglang, "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", 1, 1),
		graphOf(searchRanking, "query-rewriter", vllm, "Qwen/Qwen3-1.7B", 3, 1),
	}
	for i := range list {
		list[i].gated = list[i].model[0] == 'm' // meta-llama and mistralai ask for a token
	}
	list[8].served = "support"
	list[11].served, list[11].context = "coder", 32768

	pd := graphOf(dynamoSystem, "qwen3-32b", vllm, "Qwen/Qwen3-32B", 0, 0)
	pd.prefill, pd.decode = role{replicas: 1, gpus: 1}, role{replicas: 1, gpus: 2}
	moe := graphOf(research, "qwen3-30b-a3b", sglang, "Qwen/Qwen3-30B-A3B", 0, 0)
	moe.prefill, moe.decode = role{replicas: 1, gpus: 1}, role{replicas: 1, gpus: 1}
	beta := graphOf(research, "phi-4", vllm, "microsoft/phi-4", 1, 1)
	beta.beta = true

	loads := graphOf(mlPlatform, "gemma-3-12b-it", vllm, "google/gemma-3-12b-it", 1, 1)
	loads.gated, loads.behaviour, loads.delay, loads.steady = true, "slow", "12m", true
	warms := graphOf(searchRanking, "rerank-explainer", vllm, "Qwen/Qwen3-8B", 1, 1)
	warms.behaviour, warms.delay = "slow", "45s"
	// No node has sixteen GPUs.
	huge := graphOf(research, "llama-3-1-405b", vllm, "meta-llama/Llama-3.1-405B-Instruct", 1, 16)
	huge.gated, huge.steady = true, true
	crashes := graphOf(research, "mixtral-8x7b", trtllm, "mistralai/Mixtral-8x7B-Instruct-v0.1", 1, 2)
	crashes.gated, crashes.behaviour, crashes.steady = true, "crashloop", true
	typo := graphOf(codeAssist, "starcoder2-15b", vllm, "bigcode/starcoder2-15b", 1, 1)
	typo.image, typo.behaviour, typo.steady = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.1.l", "imagepull", true
	return append(list, pd, moe, beta, loads, warms, huge, crashes, typo)
}

func rayOf(namespace, name, model string, replicas, gpus int) deployment {
	return deployment{runtime: standin.KubeRay, namespace: namespace, name: name, engine: vllm, model: model, worker: role{replicas: replicas, gpus: gpus}}
}

func demoRay() []deployment {
	list := []deployment{
		rayOf(kuberaySystem, "llama-3-2-3b", "meta-llama/Llama-3.2-3B-Instruct", 1, 1),
		rayOf(kuberaySystem, "qwen2-5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct", 2, 1),
		rayOf(kuberaySystem, "mistral-nemo", "mistralai/Mistral-Nemo-Instruct-2407", 1, 1),
		// The same name as a Dynamo graph of the same namespace: two deployments.
		rayOf(mlPlatform, "llama-3-1-8b", "meta-llama/Llama-3.1-8B-Instruct", 1, 1),
		rayOf(research, "phi-3-medium-128k", "microsoft/Phi-3-medium-128k-instruct", 1, 1),
		rayOf(research, "olmo-2-13b", "allenai/OLMo-2-1124-13B-Instruct", 1, 1),
		rayOf(customerSupport, "intent-classifier", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1, 1),
		rayOf(customerSupport, "translator", "Qwen/Qwen2.5-3B-Instruct", 1, 1),
		rayOf(dataScience, "batch-scoring", "meta-llama/Llama-3.2-1B-Instruct", 2, 1),
		rayOf(dataScience, "sql-assistant", "defog/sqlcoder-7b-2", 1, 1),
	}
	for i := range list {
		list[i].gated = list[i].model[:4] == "meta" || list[i].model[:4] == "mist"
	}
	pd := rayOf(mlPlatform, "qwen3-14b", "Qwen/Qwen3-14B", 0, 0)
	pd.prefill, pd.decode = role{replicas: 1, gpus: 1}, role{replicas: 1, gpus: 1}
	loads := rayOf(mlPlatform, "llama-guard-3-8b", "meta-llama/Llama-Guard-3-8B", 1, 1)
	loads.gated, loads.behaviour, loads.delay, loads.steady = true, "slow", "6m", true
	crashes := rayOf(research, "yi-1-5-34b", "01-ai/Yi-1.5-34B-Chat", 1, 2)
	crashes.behaviour, crashes.steady = "crashloop", true
	// No node has this product.
	absent := rayOf(research, "falcon-40b", "tiiuae/falcon-40b-instruct", 1, 2)
	absent.product, absent.steady = "NVIDIA-H200", true
	return append(list, pd, loads, crashes, absent)
}

func workspaceOf(namespace, name, model string, replicas int) deployment {
	return deployment{runtime: standin.KAITO, namespace: namespace, name: name, engine: llamacpp, model: model, worker: role{replicas: replicas, gpus: 0}}
}

func ggufOf(namespace, name, model, file string) deployment {
	d := workspaceOf(namespace, name, model, 1)
	d.file = file
	return d
}

func vllmOf(namespace, name, model string, replicas, gpus int) deployment {
	d := workspaceOf(namespace, name, model, replicas)
	d.engine, d.worker.gpus = vllm, gpus
	return d
}

func demoKAITO() []deployment {
	list := []deployment{
		workspaceOf(kaitoWorkspace, "llama3-2-1b", "llama3.2:1b", 1),
		workspaceOf(kaitoWorkspace, "llama3-2-3b", "llama3.2:3b", 2),
		workspaceOf(kaitoWorkspace, "gemma2-2b", "gemma2:2b", 1),
		workspaceOf(kaitoWorkspace, "phi4-14b", "phi4:14b", 1),
		vllmOf(kaitoWorkspace, "mistral-7b", "mistralai/Mistral-7B-Instruct-v0.3", 1, 1),
		vllmOf(mlPlatform, "qwen3-8b", "Qwen/Qwen3-8B", 1, 1),
		vllmOf(codeAssist, "autocomplete", "Qwen/Qwen2.5-Coder-1.5B-Instruct", 1, 1),
		workspaceOf(codeAssist, "codestral-22b", "codestral:22b", 1),
		workspaceOf(customerSupport, "faq-bot", "llama3.2:3b", 2),
		ggufOf(customerSupport, "faq-bot-de", "TheBloke/em_german_leo_mistral-GGUF", "em_german_leo_mistral.Q4_K_M.gguf"),
		ggufOf(research, "smollm2-1-7b", "bartowski/SmolLM2-1.7B-Instruct-GGUF", "SmolLM2-1.7B-Instruct-Q4_K_M.gguf"),
		ggufOf(research, "qwen2-5-0-5b", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "qwen2.5-0.5b-instruct-q4_k_m.gguf"),
		workspaceOf(edgeLab, "kiosk-berlin", "llama3.2:1b", 1),
		workspaceOf(edgeLab, "kiosk-lisbon", "llama3.2:1b", 1),
		workspaceOf(edgeLab, "kiosk-oslo", "gemma2:2b", 1),
		workspaceOf(dataScience, "notebook-helper", "llama3.1:8b", 1),
		workspaceOf(searchRanking, "query-spelling", "gemma2:2b", 3),
	}
	list[4].gated = true
	list[6].served = "autocomplete"

	// Two that people made with kubectl and not through the product.
	preset := vllmOf(kaitoWorkspace, "phi-4-mini", "phi-4-mini-instruct", 1, 1)
	preset.preset, preset.byHand = true, true
	byHand := workspaceOf(edgeLab, "handmade-llama", "llama3.2:1b", 1)
	byHand.byHand = true

	oom := workspaceOf(research, "qwq-32b", "qwq:32b", 1)
	oom.behaviour, oom.steady = "oomkilled", true
	unbuilt := workspaceOf(dataScience, "sql-notes", "llama3.1:8b", 1)
	unbuilt.image, unbuilt.behaviour, unbuilt.steady = "localhost:30500/aikit-defog-sqlcoder-7b:Q4_K_M", "imagepull", true
	mounting := workspaceOf(edgeLab, "kiosk-quito", "llama3.2:1b", 1)
	mounting.behaviour, mounting.steady = "stuck", true
	leaving := workspaceOf(customerSupport, "legacy-chat", "mixtral:8x7b", 1)
	leaving.hold, leaving.steady = "30m", true
	return append(list, preset, byHand, oom, unbuilt, mounting, leaving)
}
