package models

import (
	"regexp"
	"strconv"
	"strings"
)

// NamedSize is how many parameters a model has by its name. Zero is unknown.
type NamedSize struct {
	Total  int64
	Active int64 // of a mixture of experts, for each token
	// Rough is set for "8x7B": the experts share layers, so that it is less than the product, and more than half of it.
	Rough bool
}

var (
	// sizeWord is a word that is a size: 7B, 1.5b, 125M, 8x7B. BLOOM writes 7b1.
	sizeWord    = regexp.MustCompile(`^(?:([0-9]{1,3})x)?([0-9]{1,4}(?:[.][0-9]{1,3})?)([bmt])([0-9])?$`)
	activeWord  = regexp.MustCompile(`^a([0-9]{1,3}(?:[.][0-9]{1,3})?)b$`)
	expertsWord = regexp.MustCompile(`^[0-9]{1,4}e$`)
)

// shared is the part of "8x7B" that is left when the shared layers are counted once: 46.7 of 56, 141 of 176.
const shared = 0.82

// SizeFromName reads the size out of a model's name. It takes whole words only, so that "4bit" and "v3" are none, and leaves
// out what speaks of something else: a context ("1M", for no such model is so small), or the active part of a mixture.
func SizeFromName(id string) NamedSize {
	var size NamedSize
	var found, experts bool
	words := wordsOf(baseName(id))
	for i, word := range words {
		if active := activeWord.FindStringSubmatch(word); active != nil && size.Active == 0 {
			size.Active = scaled(active[1], "b")
			continue
		}
		if expertsWord.MatchString(word) && found {
			experts = true
		}
		m := sizeWord.FindStringSubmatch(word)
		if m == nil || found {
			continue
		}
		number := m[2]
		if m[4] != "" {
			number += "." + m[4]
		}
		total := scaled(number, m[3])
		context := i+1 < len(words) && (strings.HasPrefix(words[i+1], "ctx") || strings.HasPrefix(words[i+1], "context") || words[i+1] == "token" || words[i+1] == "tokens")
		if total < minParameters || context || strings.Count(m[2], ".") > 0 && m[4] != "" {
			continue
		}
		found = true
		size.Total = total
		if m[1] != "" {
			n, _ := strconv.Atoi(m[1])
			size.Total, size.Rough = int64(float64(n)*float64(total)*shared), true
		}
	}
	if experts { // "17B-16E" is 17 billion for each token, and says nothing of all
		return NamedSize{Active: size.Total}
	}
	return size
}

// wordsOf splits a name at everything but letters, digits and the point of a number.
func wordsOf(name string) []string {
	name = strings.ToLower(name)
	digit := func(i int) bool { return i >= 0 && i < len(name) && name[i] >= '0' && name[i] <= '9' }
	words, start := []string{}, 0
	for i := 0; i <= len(name); i++ {
		if i == len(name) || strings.IndexByte("-_/ ", name[i]) >= 0 || name[i] == '.' && (!digit(i-1) || !digit(i+1)) {
			words = append(words, name[start:i])
			start = i + 1
		}
	}
	return words
}

// minParameters is the least that is believed to be a size. Models of one or eight million are toys; "1M" is mostly a context.
const minParameters = 10_000_000

func scaled(number, unit string) int64 {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	switch unit {
	case "t":
		f *= 1e12
	case "b":
		f *= 1e9
	default:
		f *= 1e6
	}
	return int64(f)
}
