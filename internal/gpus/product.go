package gpus

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Product is a GPU.
type Product struct {
	// Name is the one that all spellings come to: `A100-80GB`, `L40S`, `RTX-4090`.
	Name       string
	Vendor     string // NVIDIA, AMD or Intel
	Generation string // as its maker calls it: Hopper, CDNA3
	// MemoryGb is that of one GPU in GiB, as its maker states it.
	MemoryGb int
	// SizeGuessed is set where the GPU is made with several sizes of memory and the name tells none: MemoryGb is the smallest.
	SizeGuessed bool
}

// sized is the name with the size, for those made with several sizes.
func (r row) product(memory int, guessed bool) Product {
	p := Product{Name: strings.ReplaceAll(r.words, " ", "-"), Vendor: r.vendor, Generation: r.generation, MemoryGb: memory, SizeGuessed: guessed}
	if len(r.memory) > 1 || memory != r.memory[0] || r.shown {
		p.Name += fmt.Sprintf("-%dGB", memory)
	}
	return p
}

var (
	// migSlice finds the size of a slice, as in "A100-SXM4-80GB-MIG-1g.10gb".
	migSlice = regexp.MustCompile(`(?i)MIG[-_ ][0-9]+g\.([0-9]{1,3})gb`)
	// statedSize is a word such as 80GB. GH200 is the trap: the 480GB in its name are the CPU's memory.
	statedSize = regexp.MustCompile(`^([0-9]{1,3})GB$`)
	// glued are words that some write as one: RTX4090, RTXA6000, H100SXM5, A100PCIE.
	glued = regexp.MustCompile(`^(?:(RTX)(A?[0-9]{4})|([A-Z]{1,2}[0-9]{2,3}S?)(SXM[0-9]?|PCIE|NVL))$`)
)

// Find returns the GPU that a name means: a label's value, a machine type's GPU, or what somebody typed. It is false where
// the name is not known.
func Find(name string) (Product, bool) {
	words := wordsOf(name)
	found, ok := find(words)
	if !ok {
		return Product{}, false
	}
	if size, ok := stated(words); ok {
		return found.product(size, false), true
	}
	return found.product(found.memory[0], len(found.memory) > 1), true
}

// find returns the row whose words stand in a name; of several, the one with most words.
func find(words []string) (row, bool) {
	longest, at := 0, -1
	for i := range rows() {
		if n := len(rows()[i].split); n > longest && containsRun(words, rows()[i].split) {
			longest, at = n, i
		}
	}
	if at < 0 {
		return row{}, false
	}
	return rows()[at].row, true
}

// Memory returns the memory of one device in GiB by its product name, 0 where the name is not known. It differs from that of
// the product where the device is a slice of a GPU.
func Memory(name string) int {
	if slice := migSlice.FindStringSubmatch(name); slice != nil {
		gib, _ := strconv.Atoi(slice[1])
		return gib
	}
	words := wordsOf(name)
	if size, ok := stated(words); ok {
		return size
	}
	if found, ok := find(words); ok {
		return found.memory[0]
	}
	return 0
}

// Slice tells whether a name is that of a part of a GPU.
func Slice(name string) bool { return migSlice.MatchString(name) }

// stated is the size that stands in the name.
func stated(words []string) (int, bool) {
	if slices.Contains(words, "GH200") {
		return 0, false
	}
	for _, word := range words {
		if size := statedSize.FindStringSubmatch(word); size != nil {
			gib, _ := strconv.Atoi(size[1])
			return gib, gib > 0
		}
	}
	return 0, false
}

// wordsOf splits a name at everything but letters and digits. A slice is its GPU.
func wordsOf(name string) []string {
	if at := migSlice.FindStringIndex(name); at != nil {
		name = name[:at[0]]
	}
	words := strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	for i := 0; i < len(words); i++ {
		if m := glued.FindStringSubmatch(words[i]); m != nil {
			words = slices.Replace(words, i, i+1, m[1]+m[3], m[2]+m[4])
		}
	}
	return words
}

// containsRun tells whether the words of run follow one another in words.
func containsRun(words, run []string) bool {
	for i := 0; i+len(run) <= len(words); i++ {
		if slices.Equal(words[i:i+len(run)], run) {
			return true
		}
	}
	return false
}

// All returns every product, those made with several sizes once for each.
func All() []Product {
	var all []Product
	for _, r := range table {
		for _, memory := range r.memory {
			all = append(all, r.product(memory, false))
		}
	}
	return all
}

type splitRow struct {
	row
	split []string
}

var rows = sync.OnceValue(func() []splitRow {
	out := make([]splitRow, len(table))
	for i, r := range table {
		out[i] = splitRow{r, strings.Fields(r.words)}
	}
	return out
})
