package kaito

import (
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/cmdline"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// workload is what a Workspace runs.
type workload struct {
	engine        api.Engine
	model, served string
	gpus          int // of one pod, 0 where only the operator knows
}

func readWorkload(obj map[string]any) workload {
	for _, kind := range [2]string{"inference", "tuning"} {
		if name := field.Text(obj, kind, "preset", "name"); name != "" {
			return preset(obj, name)
		}
	}
	podSpec := field.Map(obj, "inference", "template", "spec")
	w := workload{engine: api.EngineLlamacpp, gpus: runtimes.TemplateGPUs(podSpec)}
	containers := field.Maps(podSpec, "containers")
	if len(containers) == 0 {
		return w
	}
	main := containers[0]
	for _, c := range containers {
		if field.Text(c, "name") == "model" {
			main = c
		}
	}
	image := field.Text(main, "image")
	line := cmdline.New(field.Texts(main, "command"), field.Texts(main, "args"), runtimes.Env(main))
	w.engine = engine(obj, image, line)
	w.served = line.Flag("--served-model-name", "--alias")
	switch uri, hugging := strings.CutPrefix(line.Prefixed("huggingface://"), "huggingface://"); {
	case hugging:
		// Repository and file: one repository holds a model in many quantisations.
		w.model = uri
	case w.engine == api.EngineLlamacpp:
		w.model, w.served = llamaModel(image, line, w.served)
	default:
		w.model = line.Flag("--model", "--model-path")
		if w.model == "" {
			w.model = line.After("vllm", "serve")
		}
	}
	if w.model == "" {
		w.model = image
	}
	if told := field.Text(obj, "metadata", "annotations", runtimes.AnnotationModel); told != "" && w.model == image {
		w.model = told
		if field.Text(obj, "metadata", "labels", labelModelSource) == sourcePremade {
			w.served = told
		}
	}
	return w
}

// preset is a model that KAITO knows how to run, with vLLM unless told otherwise.
func preset(obj map[string]any, name string) workload {
	w := workload{engine: api.EngineVllm, model: name}
	if field.Text(obj, "resource", "partition", "mode") == "accelerator" {
		w.gpus, _ = field.Int(obj, "resource", "partition", "count")
	}
	return w
}

// engine tells what a pod template runs: KubeFoundry's label says it, otherwise the command and the image do. AIKit images
// say nothing but their name, and run llama.cpp.
func engine(obj map[string]any, image string, line cmdline.Line) api.Engine {
	switch field.Text(obj, "metadata", "labels", labelModelSource) {
	case "vllm":
		return api.EngineVllm
	case "premade", "huggingface":
		return api.EngineLlamacpp
	}
	image = strings.ToLower(image)
	switch {
	case line.Prefixed("vllm.entrypoints") != "", line.After("vllm", "serve") != "", strings.Contains(image, "vllm"),
		strings.Contains(image, "kaito-base"):
		return api.EngineVllm
	case line.Prefixed("sglang.") != "", strings.Contains(image, "sglang"):
		return api.EngineSglang
	case line.Prefixed("tensorrt_llm") != "", strings.Contains(image, "tensorrt"):
		return api.EngineTrtllm
	}
	return api.EngineLlamacpp
}

// llamaModel finds the model of a llama.cpp server: a GGUF file among the arguments, or the one built into an AIKit image.
func llamaModel(image string, line cmdline.Line, served string) (string, string) {
	if repo := line.Flag("--hf-repo", "-hf", "-hfr"); repo != "" {
		return repo, served
	}
	if file := line.Flag("--model", "-m"); file != "" {
		return file, served
	}
	if name, ok := aikitModel(image); ok {
		if served == "" {
			served = name
		}
		return name, served
	}
	return image, served
}
