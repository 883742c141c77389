package aikit

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/models"
)

func TestQuantization(t *testing.T) {
	t.Parallel()
	for file, tag := range map[string]string{
		"llama-2-7b.Q4_K_M.gguf": "Q4_K_M", "Qwen3-8B-Q4_K_M.gguf": "Q4_K_M", "m-IQ2_XXS.gguf": "IQ2_XXS", "m.iq4_nl.gguf": "IQ4_NL", "m-BF16.gguf": "BF16",
		"m.f16.gguf": "F16", "m-Q8_0.gguf": "Q8_0", "m.Q6_K.gguf": "Q6_K", "m.gguf": "custom", "Q4_K_M.gguf": "custom", "m-Q4_K_M-00001-of-00002.gguf": "custom",
	} {
		require.Equal(t, tag, Quantization(file), file)
	}
}

func TestPremade(t *testing.T) {
	t.Parallel()
	require.Len(t, Premade(), 10)
	for _, m := range Premade() {
		require.NotNil(t, models.Premade(m.Id), m.Id)
		require.Equal(t, Repository+m.Id, m.Image)
		require.NotEmpty(t, m.License)
	}
	m, ok := FindPremade("gpt-oss:20b")
	require.True(t, ok)
	require.Equal(t, "gpt-oss-20b", m.ModelName)
	m, ok = FindPremade("gpt:oss-20b") // as a client makes it of an id without colons
	require.True(t, ok)
	require.Equal(t, "gpt-oss:20b", m.Id)
	_, ok = FindPremade("gpt-oss")
	require.False(t, ok)
}

// Whatever is asked for: either it is refused, or it is one argument that says nothing else, and a name that a registry takes.
func TestSpecIsDataOnly(t *testing.T) {
	t.Parallel()
	text := func(seeds ...string) *rapid.Generator[string] {
		return rapid.OneOf(rapid.SampledFrom(append(seeds, "", "..", "a/../b.gguf", "x;rm -rf /", "$(id)", "a\nb", `"`, "a,push=false", "a b", "-o", "a@main")), rapid.String())
	}
	rapid.Check(t, func(t *rapid.T) {
		s, wrong := NewSpec(api.AikitBuildRequest{
			ModelId: text("TheBloke/Llama-2-7B-GGUF", strings.Repeat("a", 90)+"/"+strings.Repeat("B.", 40)+"c").Draw(t, "model"), GgufFile: text("llama-2-7b.Q4_K_M.gguf", "q/x-BF16.gguf").Draw(t, "file"),
			ImageName: text("mine").Draw(t, "name"), ImageTag: text("v1").Draw(t, "tag"),
		})
		if wrong != nil {
			return
		}
		require.Regexp(t, `^localhost:30500/[a-z0-9._-]{1,63}:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`, s.Ref())
		push := pushRegistry("kubefoundry-system") + "/" + s.Image()
		require.LessOrEqual(t, len(s.jobName(push)), 63)
		require.Regexp(t, `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`, s.jobName(push))
		args := s.job("ml", push).Spec.Template.Spec.Containers[0].Args
		require.Len(t, args, 8)
		require.Equal(t, "--opt=build-arg:model=huggingface://"+s.ModelID+"/"+s.File, args[5])
		require.Len(t, strings.Split(args[7], ","), 4)
		for _, arg := range args {
			require.NotContains(t, arg, "..")
			require.NotRegexp(t, `[\s"'$;@\x60]`, arg)
		}
	})
}

func TestAllThatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	_, wrong := NewSpec(api.AikitBuildRequest{ModelId: "x", GgufFile: "y.bin", ImageName: "A", ImageTag: "-"})
	require.Len(t, wrong, 4)
	_, wrong = NewSpec(api.AikitBuildRequest{})
	require.Len(t, wrong, 2)
}
