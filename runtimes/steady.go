package runtimes

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxMessage bounds a message in a document, in bytes. Operators put whole stack traces into messages.
const maxMessage = 800

// What changes in a message each time it is written, though nothing has happened. The sign is text that every match
// contains: looking for it first spares most messages the pattern.
var unsteady = []struct {
	sign        string
	pattern     *regexp.Regexp
	replacement string
}{
	// kubelet: `back-off 2m40s restarting failed container=main pod=llama-0_ml(6d1f…)`
	{"ack-off ", regexp.MustCompile(`\b([Bb]ack-off) \d[\dhms.µn]* `), "$1 "},
	{" pod=", regexp.MustCompile(` pod=\S+\([^)]*\)`), ""},
	// aggregated events: `(combined from similar events): …`, `(x12 over 3m)`
	{"(combined", regexp.MustCompile(`^\(combined from similar events\): `), ""},
	{"(x", regexp.MustCompile(` ?\(x\d+ over [^)]*\)`), ""},
	// controllers: each try to create a pod has another name
	{`pods "`, regexp.MustCompile(`\bpods "[^"]*" is forbidden`), "pods is forbidden"},
	// request ids, pod uids
	{"-", regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`), "…"},
	// points in time, and the age of something
	{":", regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d(?: [A-Z]+)?)?(?: m=[+-][\d.]+)?`), "…"},
	{" ago", regexp.MustCompile(`\b\d+(?:\.\d+)?(?:h|m|s|ms)(?:\d+(?:\.\d+)?(?:m|s|ms))* ago\b`), "… ago"},
	// addresses of pods, registries behind several addresses, Python objects
	{".", regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(->|\b)`), "…$1"},
	{"->", regexp.MustCompile(`…:\d+->`), "…->"},
	{"0x", regexp.MustCompile(`\b0x[0-9a-fA-F]{6,}\b`), "0x…"},
}

// containerID matches ids of containers and sandboxes, and digests of images, which stay.
var containerID = regexp.MustCompile(`(sha256:)?\b[0-9a-f]{64}\b`)

// Steady takes out of a message what changes by itself, such as the time until the next try, points in time, uids and
// addresses, so that a document changes only when something has happened. What is left out is marked with an ellipsis where
// the sentence needs it. Long messages are cut.
func Steady(message string) string {
	// Again as long as something is left out, since that can bring together what is to be left out too: a document would
	// otherwise depend on how many hands a message has gone through.
	message = message[:min(len(message), 8*maxMessage)]
	for range 8 {
		shorter := bound(leaveOut(strings.TrimSpace(message)))
		if shorter == message {
			break
		}
		message = shorter
	}
	return message
}

func leaveOut(message string) string {
	if !strings.ContainsAny(message, "0123456789(\"") {
		return message
	}
	for _, u := range unsteady {
		if strings.Contains(message, u.sign) {
			message = u.pattern.ReplaceAllString(message, u.replacement)
		}
	}
	if len(message) < 64 {
		return message
	}
	return containerID.ReplaceAllStringFunc(message, func(id string) string {
		if strings.HasPrefix(id, "sha256:") {
			return id
		}
		return "…"
	})
}

// bound cuts a message between two characters.
func bound(message string) string {
	message = strings.TrimSpace(strings.ToValidUTF8(message, "�"))
	if len(message) <= maxMessage {
		return message
	}
	const mark = "…"
	cut := maxMessage - len(mark)
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + mark
}
