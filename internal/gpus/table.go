package gpus

// row is a GPU by the words of its name. Memory is in GiB as its maker states it: all sizes that it is made with, the smallest
// first. A size within a name ("A100-SXM4-80GB") goes before this table.
type row struct {
	words      string
	vendor     string
	generation string
	memory     []int
	// shown: the size belongs to the name although there is only one, as people know it.
	shown bool
}

const (
	nvidia = "NVIDIA"
	amd    = "AMD"
	intel  = "Intel"

	blackwellUltra = "Blackwell Ultra"
	blackwell      = "Blackwell"
	hopper         = "Hopper"
	ada            = "Ada Lovelace"
	ampere         = "Ampere"
	turing         = "Turing"
	volta          = "Volta"
	pascal         = "Pascal"
	maxwell        = "Maxwell"
)

var table = []row{
	// NVIDIA, for data centres.
	{"GB300", nvidia, blackwellUltra, []int{288}, false},
	{"B300", nvidia, blackwellUltra, []int{288}, false},
	{"GB200", nvidia, blackwell, []int{186}, false},
	{"B200", nvidia, blackwell, []int{180}, false},
	{"B100", nvidia, blackwell, []int{180}, false},
	{"GH200", nvidia, hopper, []int{96}, false},
	{"GH200 144G", nvidia, hopper, []int{144}, false},
	{"H200", nvidia, hopper, []int{141}, false},
	{"H100", nvidia, hopper, []int{80}, true},
	{"H100 NVL", nvidia, hopper, []int{94}, false},
	{"H800", nvidia, hopper, []int{80}, false},
	{"H20", nvidia, hopper, []int{96}, false},
	{"H20 3E", nvidia, hopper, []int{141}, false},
	{"A100", nvidia, ampere, []int{40, 80}, false},
	{"A100X", nvidia, ampere, []int{80}, false},
	{"A800", nvidia, ampere, []int{40, 80}, false},
	{"A40", nvidia, ampere, []int{48}, false},
	{"A30", nvidia, ampere, []int{24}, false},
	{"A10", nvidia, ampere, []int{24}, false},
	{"A10G", nvidia, ampere, []int{24}, false},
	{"A10M", nvidia, ampere, []int{24}, false},
	{"A16", nvidia, ampere, []int{16}, false},
	{"A2", nvidia, ampere, []int{16}, false},
	{"L40S", nvidia, ada, []int{48}, false},
	{"L40", nvidia, ada, []int{48}, false},
	{"L20", nvidia, ada, []int{48}, false},
	{"L4", nvidia, ada, []int{24}, false},
	{"L2", nvidia, ada, []int{24}, false},
	{"T4", nvidia, turing, []int{16}, false},
	{"T4G", nvidia, turing, []int{16}, false},
	{"V100", nvidia, volta, []int{16, 32}, false},
	{"V100S", nvidia, volta, []int{32}, false},
	{"P100", nvidia, pascal, []int{16}, false},
	{"P40", nvidia, pascal, []int{24}, false},
	{"P4", nvidia, pascal, []int{8}, false},
	{"M60", nvidia, maxwell, []int{8}, false},
	{"K80", nvidia, "Kepler", []int{12}, false},
	{"GB10", nvidia, blackwell, []int{128}, false},
	// NVIDIA, for workstations.
	{"RTX PRO 6000", nvidia, blackwell, []int{96}, false},
	{"RTX PRO 5000", nvidia, blackwell, []int{48}, false},
	{"RTX PRO 4500", nvidia, blackwell, []int{32}, false},
	{"RTX PRO 4000", nvidia, blackwell, []int{24}, false},
	{"RTX 6000 ADA", nvidia, ada, []int{48}, false},
	{"RTX 5000 ADA", nvidia, ada, []int{32}, false},
	{"RTX 4500 ADA", nvidia, ada, []int{24}, false},
	{"RTX 4000 ADA", nvidia, ada, []int{20}, false},
	{"RTX 4000 SFF ADA", nvidia, ada, []int{20}, false},
	{"RTX 2000 ADA", nvidia, ada, []int{16}, false},
	{"A6000", nvidia, ampere, []int{48}, false},
	{"A5500", nvidia, ampere, []int{24}, false},
	{"A5000", nvidia, ampere, []int{24}, false},
	{"A4500", nvidia, ampere, []int{20}, false},
	{"A4000", nvidia, ampere, []int{16}, false},
	{"QUADRO RTX 8000", nvidia, turing, []int{48}, false},
	{"QUADRO RTX 6000", nvidia, turing, []int{24}, false},
	{"QUADRO RTX 5000", nvidia, turing, []int{16}, false},
	{"QUADRO RTX 4000", nvidia, turing, []int{8}, false},
	// NVIDIA, for gaming. The laptop versions have less memory and are not told apart without the label.
	{"RTX 5090", nvidia, blackwell, []int{32}, false},
	{"RTX 5080", nvidia, blackwell, []int{16}, false},
	{"RTX 5070 TI", nvidia, blackwell, []int{16}, false},
	{"RTX 5070", nvidia, blackwell, []int{12}, false},
	{"RTX 4090", nvidia, ada, []int{24}, false},
	{"RTX 4080", nvidia, ada, []int{16}, false},
	{"RTX 4070 TI SUPER", nvidia, ada, []int{16}, false},
	{"RTX 4070 TI", nvidia, ada, []int{12}, false},
	{"RTX 4070", nvidia, ada, []int{12}, false},
	{"RTX 3090", nvidia, ampere, []int{24}, false},
	{"RTX 3080 TI", nvidia, ampere, []int{12}, false},
	{"RTX 3080", nvidia, ampere, []int{10}, false},
	{"TITAN RTX", nvidia, turing, []int{24}, false},
	{"TITAN V", nvidia, volta, []int{12}, false},
	// AMD. An MI250 shows as two devices with half of its 128 GB each.
	{"MI355X", amd, "CDNA4", []int{288}, false},
	{"MI350X", amd, "CDNA4", []int{288}, false},
	{"MI325X", amd, "CDNA3", []int{256}, false},
	{"MI300X", amd, "CDNA3", []int{192}, false},
	{"MI300A", amd, "CDNA3", []int{128}, false},
	{"MI250X", amd, "CDNA2", []int{64}, false},
	{"MI250", amd, "CDNA2", []int{64}, false},
	{"MI210", amd, "CDNA2", []int{64}, false},
	{"MI100", amd, "CDNA", []int{32}, false},
	{"V710", amd, "RDNA3", []int{28}, false},
	{"V620", amd, "RDNA2", []int{32}, false},
	{"V520", amd, "RDNA", []int{8}, false},
	{"W7900", amd, "RDNA3", []int{48}, false},
	// Intel.
	{"MAX 1550", intel, "Xe-HPC", []int{128}, false},
	{"MAX 1100", intel, "Xe-HPC", []int{48}, false},
	{"FLEX 170", intel, "Xe-HPG", []int{16}, false},
	{"FLEX 140", intel, "Xe-HPG", []int{6}, false},
}
