package cmdline

import (
	"path"
	"strings"

	"github.com/google/shlex"
)

// Line is a command line in words.
type Line struct {
	words []string
	env   map[string]string
}

// New takes a container's command and args, and the environment variables that have a plain value, which flags may refer to
// as $NAME, ${NAME} or $(NAME).
func New(command, args []string, env map[string]string) Line {
	words := make([]string, 0, len(command)+len(args))
	script := false
	for _, list := range [2][]string{command, args} {
		for _, word := range list {
			// What follows `sh -c` is a script. Some leave the shell to the image's entrypoint, or put a flag and its value
			// into one element: such an element is split too.
			if script || strings.Contains(word, " -") || strings.HasPrefix(word, "-") && strings.Contains(word, " ") {
				words = append(words, split(word)...)
				script = false
				continue
			}
			words = append(words, word)
			script = isShell(words)
		}
	}
	return Line{words: words, env: env}
}

// Flag returns the value of the first of the flags that has one: `--model x`, `--model=x`. Names are given with dashes.
func (l Line) Flag(names ...string) string {
	for _, name := range names {
		for i, word := range l.words {
			if value, ok := strings.CutPrefix(word, name+"="); ok && value != "" {
				return l.resolve(value)
			}
			if word == name && i+1 < len(l.words) && !strings.HasPrefix(l.words[i+1], "-") {
				return l.resolve(l.words[i+1])
			}
		}
	}
	return ""
}

// Has tells whether the flag is there, with or without a value.
func (l Line) Has(name string) bool {
	for _, word := range l.words {
		if word == name || strings.HasPrefix(word, name+"=") {
			return true
		}
	}
	return false
}

// After returns the word that follows these, if it is not a flag: After("vllm", "serve") of `vllm serve x` is x. A path is
// taken for its last part, so `/usr/bin/vllm serve x` is found too.
func (l Line) After(words ...string) string {
	for i := 0; i+len(words) < len(l.words); i++ {
		match := true
		for j, word := range words {
			match = match && (l.words[i+j] == word || path.Base(l.words[i+j]) == word)
		}
		if next := l.words[i+len(words)]; match && !strings.HasPrefix(next, "-") {
			return l.resolve(next)
		}
	}
	return ""
}

// Prefixed returns the first word that starts with the prefix.
func (l Line) Prefixed(prefix string) string {
	for _, word := range l.words {
		if strings.HasPrefix(word, prefix) {
			return word
		}
	}
	return ""
}

// resolve looks up a value that is nothing but a reference to an environment variable. Others are left as they stand.
func (l Line) resolve(value string) string {
	name, ok := strings.CutPrefix(value, "$")
	if !ok {
		return value
	}
	for _, brackets := range []string{"{}", "()"} {
		if len(name) > 2 && name[0] == brackets[0] && name[len(name)-1] == brackets[1] {
			name = name[1 : len(name)-1]
			break
		}
	}
	if known, ok := l.env[name]; ok && known != "" {
		return known
	}
	return value
}

// isShell tells whether the words so far end in a shell that is given a script: `/bin/sh -c`, `bash -lc`.
func isShell(words []string) bool {
	if len(words) < 2 {
		return false
	}
	flag := words[len(words)-1]
	if len(flag) < 2 || flag[0] != '-' || flag[1] == '-' || !strings.HasSuffix(flag, "c") {
		return false
	}
	for _, word := range words[:len(words)-1] {
		switch path.Base(word) {
		case "sh", "bash", "ash", "dash", "zsh":
			return true
		}
	}
	return false
}

// split cuts a script into words as a shell does. Operators between commands end a word and are dropped: only flags are
// looked for, and those of a script that starts several programs are told apart by nothing.
func split(script string) []string {
	script = strings.ReplaceAll(script, "\\\r\n", " ")
	script = strings.ReplaceAll(script, "\\\n", " ")
	words, _ := shlex.Split(script) // on an unclosed quote the words before it are returned too
	kept := words[:0]
	for _, word := range words {
		if word = strings.TrimRight(word, ";&|"); word != "" {
			kept = append(kept, word)
		}
	}
	return kept
}
