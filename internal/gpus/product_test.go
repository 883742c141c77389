package gpus_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/internal/gpus"
)

// TestLabelsOfTheGPUOperator: names as NVIDIA's and AMD's operators, clouds and people write them.
func TestLabelsOfTheGPUOperator(t *testing.T) {
	for label, want := range map[string]string{
		"NVIDIA-H200": "H200", "NVIDIA-H200-NVL": "H200", "NVIDIA-B200": "B200", "NVIDIA-GB200": "GB200", "NVIDIA-GB300": "GB300", "NVIDIA-B300-SXM6-AC": "B300",
		"NVIDIA-GH200-480GB": "GH200", "NVIDIA-GH200-144G-HBM3e": "GH200-144G",
		"NVIDIA-H100-80GB-HBM3": "H100-80GB", "NVIDIA-H100-PCIe": "H100-80GB", "NVIDIA-H100-NVL": "H100-NVL", "nvidia-h100-mega-80gb": "H100-80GB", "h100sxm5": "H100-80GB",
		"NVIDIA-A100-SXM4-80GB": "A100-80GB", "NVIDIA-A100-80GB-PCIe": "A100-80GB", "NVIDIA-A100-PCIE-80GB": "A100-80GB",
		"NVIDIA-A100-SXM4-40GB": "A100-40GB", "NVIDIA-A100-PCIE-40GB": "A100-40GB", "nvidia-tesla-a100": "A100-40GB", "A100_NVLINK_80GB": "A100-80GB",
		"NVIDIA-L40": "L40", "NVIDIA-L40S": "L40S", "NVIDIA-L4": "L4", "nvidia-l4": "L4", "NVIDIA-A10": "A10", "NVIDIA-A10G": "A10G",
		"Tesla-T4": "T4", "nvidia-tesla-t4": "T4", "Tesla-V100-SXM2-16GB": "V100-16GB", "Tesla-V100-SXM2-32GB": "V100-32GB", "Tesla-V100-PCIE-32GB": "V100-32GB", "Tesla-V100S-PCIE-32GB": "V100S",
		"NVIDIA-GeForce-RTX-4090": "RTX-4090", "RTX4090": "RTX-4090", "NVIDIA-GeForce-RTX-3080-Ti": "RTX-3080-TI",
		"NVIDIA-RTX-6000-Ada-Generation": "RTX-6000-ADA", "Quadro-RTX-6000": "QUADRO-RTX-6000", "NVIDIA-RTX-A6000": "A6000",
		"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition": "RTX-PRO-6000",
		"AMD_Instinct_MI300X_OAM":                      "MI300X", "AMD-Instinct-MI325X-OAM": "MI325X", "Data-Center-GPU-Max-1100": "MAX-1100",
		"NVIDIA-L4-SHARED": "L4", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb": "A100-80GB",
	} {
		got, ok := gpus.Find(label)
		assert.True(t, ok, label)
		assert.Equal(t, want, got.Name, label)
	}
	for _, label := range []string{"", "nvidia", "NVIDIA-Tesla", "something else", "A1000000", "NVIDIA-H1000", "80GB", "NVIDIA-X100-80GB", "L40SX", "Radeon"} {
		_, ok := gpus.Find(label)
		assert.False(t, ok, label)
		if !strings.Contains(label, "80GB") {
			assert.Zero(t, gpus.Memory(label), label)
		}
	}
	guessed, _ := gpus.Find("V100")
	assert.True(t, guessed.SizeGuessed)
	amd, _ := gpus.Find("AMD-Instinct-MI300X-OAM")
	assert.Equal(t, "AMD", amd.Vendor)
	assert.Equal(t, 192, amd.MemoryGb)
}

// TestEverySpellingIsTheSameProduct: whatever is written around a name, and however its words are joined, it means the same.
func TestEverySpellingIsTheSameProduct(t *testing.T) {
	plain := regexp.MustCompile(`-[0-9]+GB$`)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SampledFrom(gpus.All()).Draw(t, "product")
		name := want.Name
		form := rapid.SampledFrom([]string{"", "-SXM4", "-PCIE", "-HBM3", "-OAM", "-NVLINK"}).Draw(t, "form")
		if size := plain.FindString(name); size != "" { // before or behind the size
			stem := strings.TrimSuffix(name, size)
			name = rapid.SampledFrom([]string{stem + form + size, stem + size + form}).Draw(t, "order")
		} else {
			name += form
		}
		name = rapid.SampledFrom([]string{"", "NVIDIA-", "Tesla-", "AMD-Instinct-", "GeForce-"}).Draw(t, "maker") + name +
			rapid.SampledFrom([]string{"", "-SHARED", "-MIG-1g.10gb"}).Draw(t, "part")
		name = strings.ReplaceAll(name, "-", rapid.SampledFrom([]string{"-", "_", " "}).Draw(t, "join"))
		if rapid.Bool().Draw(t, "small") {
			name = strings.ToLower(name)
		}
		got, ok := gpus.Find(name)
		if !ok || got != want {
			t.Fatalf("%q is %+v, want %+v", name, got, want)
		}
	})
}

func TestTheTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range gpus.All() {
		require.False(t, seen[p.Name], p.Name)
		seen[p.Name] = true
		require.NotEmpty(t, p.Generation)
		require.Positive(t, p.MemoryGb)
	}
	for _, name := range []string{"A10", "H100-80GB", "H100-NVL", "A100-40GB", "V100-32GB", "GB200", "MI300X", "RTX-PRO-6000", "T4G"} {
		require.True(t, seen[name], "%s, which machine types have", name)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("NVIDIA-A100-SXM4-80GB-MIG-1g.999gb")
	f.Fuzz(func(t *testing.T, name string) {
		got, ok := gpus.Find(name)
		if ok != (got.Name != "") || ok && (got.MemoryGb <= 0 || got.MemoryGb > 999) {
			t.Errorf("%q: %+v", name, got)
		}
	})
}
