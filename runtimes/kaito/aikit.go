package kaito

import (
	"strings"

	"github.com/kubefoundry/kubefoundry/runtimes"
)

// aikitRepository is where the ready-made AIKit images are.
const aikitRepository = runtimes.RepositoryAIKit

// aikitNames has, for the tag of a ready-made image, the name under which its server offers the model.
var aikitNames = map[string]string{
	"llama3.2:1b":   "llama-3.2-1b-instruct",
	"llama3.2:3b":   "llama-3.2-3b-instruct",
	"llama3.1:8b":   "llama-3.1-8b-instruct",
	"llama3.3:70b":  "llama-3.3-70b-instruct",
	"mixtral:8x7b":  "mixtral-8x7b-instruct",
	"phi4:14b":      "phi-4-14b-instruct",
	"gemma2:2b":     "gemma-2-2b-instruct",
	"qwq:32b":       "qwq-32b",
	"codestral:22b": "codestral-22b",
	"gpt-oss:20b":   "gpt-oss-20b",
}

// aikitModel returns the model in a ready-made AIKit image, under the name that its server gives it; the image's own name
// where that is not known.
func aikitModel(image string) (string, bool) {
	id, ok := strings.CutPrefix(image, aikitRepository)
	if !ok || id == "" {
		return "", false
	}
	id, _, _ = strings.Cut(id, "@")
	if name, ok := aikitNames[id]; ok {
		return name, true
	}
	return id, true
}
