package cmdline

import (
	"path"
	"regexp"
	"strings"

	"github.com/google/shlex"
)

// Line is a command line in words.
type Line struct {
	words []string
	// shell marks the words that a shell reads: in these, variables mean what they hold.
	shell []bool
	env   map[string]string
}

// New takes a container's command and args, and the environment variables that have a plain value, which flags may refer to
// as $NAME, ${NAME} or $(NAME).
func New(command, args []string, env map[string]string) Line {
	l := Line{words: make([]string, 0, len(command)+len(args)), env: env}
	script := false
	for _, list := range [2][]string{command, args} {
		for _, word := range list {
			word = expand(word, env)
			// What follows `sh -c` is a script. Some leave the shell to the image's entrypoint, or put a flag and its value
			// into one element: such an element is split too.
			if script || l.isScript(word) {
				for _, part := range split(word) {
					l.words, l.shell = append(l.words, part), append(l.shell, true)
				}
				script = false
				continue
			}
			l.words, l.shell = append(l.words, word), append(l.shell, false)
			script = isShell(l.words)
		}
	}
	return l
}

// A flag with its value in the same element, and a flag that waits for its value in the next.
var (
	withValue = regexp.MustCompile(`^--[A-Za-z0-9][A-Za-z0-9._-]*=`)
	waiting   = regexp.MustCompile(`^--?[A-Za-z][A-Za-z0-9._-]*$`)
	locator   = regexp.MustCompile(`^[a-z0-9+.-]+://`)
)

// isScript tells an element that holds several words from one that is a value, with whatever spaces and dashes are in it.
func (l *Line) isScript(word string) bool {
	if withValue.MatchString(word) || locator.MatchString(word) {
		return false
	}
	if strings.HasPrefix(word, "-") {
		return strings.Contains(word, " ")
	}
	if n := len(l.words); n > 0 && waiting.MatchString(l.words[n-1]) {
		return false
	}
	return strings.Contains(word, " -")
}

// expand does what the kubelet does with every element: $(NAME) is the variable of that name, $$ a dollar sign. What is not
// known stays as it is.
func expand(word string, env map[string]string) string {
	if !strings.Contains(word, "$") {
		return word
	}
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] != '$' || i+1 == len(word) {
			b.WriteByte(word[i])
			continue
		}
		switch word[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(word[i:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			reference := word[i : i+end+1]
			if value, known := env[reference[2:len(reference)-1]]; known {
				reference = value
			}
			b.WriteString(reference)
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

// Flag returns the value of the first of the flags that has one: `--model x`, `--model=x`. Names are given with dashes.
func (l Line) Flag(names ...string) string {
	for _, name := range names {
		for i, word := range l.words {
			if value, ok := strings.CutPrefix(word, name+"="); ok && value != "" {
				return l.resolve(value, i)
			}
			if word == name && i+1 < len(l.words) && !strings.HasPrefix(l.words[i+1], "-") {
				return l.resolve(l.words[i+1], i+1)
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
			return l.resolve(next, i+len(words))
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

// resolve looks up a value, out of the word at an index, that is nothing but a reference to an environment variable in a
// script. Others are left as they stand.
func (l Line) resolve(value string, at int) string {
	if !l.shell[at] {
		return value
	}
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
