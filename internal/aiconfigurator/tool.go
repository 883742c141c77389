package aiconfigurator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// Options of a Tool.
type Options struct {
	// Path of the command, or its name on the PATH; DefaultCommand when left out. "none" runs nothing.
	Path string
	// Timeout of an analysis; 25 s when left out, for pages wait 30 s.
	Timeout time.Duration
}

const (
	// DefaultCommand is NVIDIA's.
	DefaultCommand = "aiconfigurator"
	// NoCommand as a path runs nothing.
	NoCommand = "none"

	keepPresent = 5 * time.Minute
	keepAbsent  = time.Minute
	askVersion  = 10 * time.Second
	maxOutput   = 64 << 10
	// atOnce is how many analyses run at the same time: each takes a whole core.
	atOnce = 2
)

// Tool is NVIDIA's command, where it is installed.
type Tool struct {
	path    string
	timeout time.Duration
	running chan struct{}

	mu    sync.Mutex
	known status
	until time.Time
}

type status struct{ version, problem string }

// New makes a Tool. Nothing is run before it is asked.
func New(o Options) *Tool {
	return &Tool{path: cmp.Or(o.Path, DefaultCommand), timeout: cmp.Or(o.Timeout, 25*time.Second), running: make(chan struct{}, atOnce)}
}

// Status tells whether the command is there. Suggestions are there always.
func (t *Tool) Status(ctx context.Context) api.AiConfiguratorStatus {
	known := t.status(ctx)
	s := api.AiConfiguratorStatus{Available: true, Source: api.AiSourceAnalytic, Version: "analytic"}
	if known.problem != "" {
		s.Error = "Suggestions are worked out from sizes: " + known.problem
		return s
	}
	s.Source, s.Version = api.AiSourceCli, known.version
	return s
}

func (t *Tool) status(ctx context.Context) status {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return t.known
	}
	t.known = t.askVersion(context.WithoutCancel(ctx))
	keep := keepPresent
	if t.known.problem != "" {
		keep = keepAbsent
	}
	t.until = time.Now().Add(keep)
	return t.known
}

var versionLike = regexp.MustCompile(`[0-9]+\.[0-9]+[0-9A-Za-z.+-]*`)

func (t *Tool) askVersion(ctx context.Context) status {
	if t.path == NoCommand {
		return status{problem: "the command is turned off"}
	}
	path, err := exec.LookPath(t.path)
	if err != nil {
		return status{problem: "the command aiconfigurator is not installed where this server runs"}
	}
	ctx, cancel := context.WithTimeout(ctx, askVersion)
	defer cancel()
	out, err := run(ctx, path, "", "", "version")
	if err != nil {
		return status{problem: "the command aiconfigurator does not run: " + reason(ctx, out, err)}
	}
	return status{version: cmp.Or(versionLike.FindString(out), "unknown")}
}

// modelID is what the command is given; it can be no option of it, for it starts with a letter or a digit.
var modelID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$`)

// Analyze suggests how to run a model: what the command says, or where that is not to be had what follows from the sizes.
func (t *Tool) Analyze(ctx context.Context, q Question) api.AiAnalysis {
	fallback := Suggest(q)
	known := t.status(ctx)
	if known.problem != "" {
		return fallback
	}
	system, ok := systemOf(q.GPU)
	switch {
	case !ok:
		return because(fallback, fmt.Sprintf("NVIDIA's AI Configurator has no data for %.100q.", q.GPU))
	case !modelID.MatchString(q.Model) || len(q.Model) > 200:
		return because(fallback, "NVIDIA's AI Configurator takes models of Hugging Face only.")
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	select {
	case t.running <- struct{}{}:
		defer func() { <-t.running }()
	case <-ctx.Done():
		return because(fallback, "NVIDIA's AI Configurator is busy with others.")
	}
	found, err := t.analyze(ctx, q, system)
	if err != nil {
		return because(fallback, "NVIDIA's AI Configurator gave no answer: "+err.Error()+".")
	}
	return found
}

// because puts why the command does not answer before the rest.
func because(a api.AiAnalysis, why string) api.AiAnalysis {
	a.Warnings = slices.Insert(a.Warnings, 1, why)
	return a
}

func (t *Tool) analyze(ctx context.Context, q Question, system string) (api.AiAnalysis, error) {
	path, err := exec.LookPath(t.path)
	if err != nil {
		return api.AiAnalysis{}, errors.New("the command is gone")
	}
	dir, err := os.MkdirTemp("", "kubefoundry-aiconfigurator-")
	if err != nil {
		return api.AiAnalysis{}, errors.New("there is no room for its files")
	}
	defer os.RemoveAll(dir)
	backend := backends(system)[0]
	args := []string{
		"cli", "default", "--hf_id", q.Model, "--total_gpus", strconv.Itoa(max(q.GPUs, 2)),
		"--system", system, "--backend", backend, "--save_dir", dir,
	}
	if q.MaxLatencyMs > 0 {
		args = append(args, "--ttft", strconv.Itoa(int(math.Ceil(math.Min(q.MaxLatencyMs, 1e9)))))
	}
	out, err := run(ctx, path, dir, q.Token, args...)
	if err != nil {
		return api.AiAnalysis{}, errors.New(reason(ctx, out, err))
	}
	found, err := readResults(dir, q)
	if err != nil {
		return api.AiAnalysis{}, err
	}
	found.Backend, found.SupportedBackends = backend, backends(system)
	return found, nil
}

// passed are the variables of the environment that the command gets. It gets none of the server's own.
var passed = []string{
	"PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH", "HF_HOME", "HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
	"no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
}

// run runs the command and returns the end of what it says.
func run(ctx context.Context, path, dir, token string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, path, args...)
	command.Dir = dir
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	if dir != "" {
		command.Env = append(command.Env, "TMPDIR="+dir)
	}
	if token != "" {
		command.Env = append(command.Env, "HF_TOKEN="+token)
	}
	var out tail
	command.Stdout, command.Stderr = &out, &out
	command.WaitDelay = time.Second // for what it started and left behind
	ownGroup(command)
	err := command.Run()
	return out.String(), err //nolint:wrapcheck // said in words by reason
}

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if len(t.kept) > 2*maxOutput {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxOutput:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.ToValidUTF8(t.kept, nil))
}

var secret = regexp.MustCompile(`hf_[A-Za-z0-9]{4,}`)

// reason says in a line why the command failed.
func reason(ctx context.Context, out string, err error) string {
	lower := strings.ToLower(out)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "it did not end in time"
	case ctx.Err() != nil:
		return "nobody waits for it any more"
	case strings.Contains(lower, "gated repo"), strings.Contains(lower, "401 client error"):
		return "the model is gated, and the token given may not read it"
	case strings.Contains(lower, "no successful experiment"):
		return "none of its experiments succeeded for this model and these GPUs"
	case strings.Contains(lower, "ttft") && strings.Contains(lower, "constraint"):
		return "nothing meets the latency asked for"
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, lines[len(lines)-1])
	if last = secret.ReplaceAllString(strings.TrimSpace(last), "hf_…"); last == "" {
		return err.Error()
	}
	if len(last) > 300 {
		last = strings.ToValidUTF8(last[:300], "") + "…"
	}
	return strings.TrimRight(last, ". ")
}
