package scenario

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Names of the scenarios.
const (
	Empty = "empty" // namespaces and the token, no deployments
	Demo  = "demo"  // sixty deployments of eight teams
	Scale = "scale" // thousands of small ones
)

// Names lists the scenarios.
func Names() []string { return []string{Demo, Empty, Scale} }

// scaleDefault is how many deployments scale has if nobody says.
const scaleDefault = 2000

// ErrUnknown is returned for a name that is none of [Names].
var ErrUnknown = errors.New("unknown scenario")

// Options say what happens.
type Options struct {
	Name string
	// Deployments is their number; 0 is the scenario's own, and the demo with
	// another number is cut or filled up with small ones.
	Deployments int
	// Churn is how many changes per second follow, until ctx ends.
	Churn float64
	// Seed of the chance that chooses models, replicas and changes.
	Seed int64
	// Log gets what goes wrong after Start has returned; nil discards it.
	Log *slog.Logger
}

// Start creates the objects of a scenario and returns when they exist, not when
// they run. Changes go on in the background until ctx ends. The definitions have
// to be installed before.
func Start(ctx context.Context, cfg *rest.Config, options Options) error {
	list, err := plan(ctx, cfg, options)
	if err != nil {
		return err
	}
	w, err := newWriter(cfg, options)
	if err != nil {
		return err
	}
	if err := w.create(ctx, list); err != nil {
		return fmt.Errorf("scenario %s: %w", options.Name, err)
	}
	if options.Churn > 0 && len(list) > 0 {
		go newChurn(w, list, options).run(ctx)
	}
	return nil
}

func plan(ctx context.Context, cfg *rest.Config, options Options) ([]deployment, error) {
	chance := seeded(options.Seed)
	switch options.Name {
	case Empty:
		return nil, nil
	case Demo:
		list := demo()
		if n := options.Deployments; n > 0 && n <= len(list) {
			return list[:n], nil
		}
		return append(list, scale(max(0, options.Deployments-len(list)), 0, chance)...), nil
	case Scale:
		n := options.Deployments
		if n == 0 {
			n = scaleDefault
		}
		gpus, err := gpusOf(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("scenario %s: %w", options.Name, err)
		}
		return scale(n, gpus, chance), nil
	default:
		return nil, fmt.Errorf("%w %q, known are %v", ErrUnknown, options.Name, Names())
	}
}

func seeded(seed int64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(seed), 0x6b66)) //nolint:gosec // repeatable, not secret
}

// gpusOf counts the GPUs of all nodes.
func gpusOf(ctx context.Context, cfg *rest.Config) (int, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("nodes: %w", err)
	}
	total := int64(0)
	for _, node := range nodes.Items {
		gpus := node.Status.Allocatable["nvidia.com/gpu"]
		total += gpus.Value()
	}
	return int(total), nil
}
