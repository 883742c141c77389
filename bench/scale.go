package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// scaleBench starts the server on a large cluster and on one of a tenth of its size.
type scaleBench struct {
	quick       bool
	binary      string
	nodes       int
	deployments int
	idle        time.Duration
	patience    time.Duration
}

func newScaleBench(flags *flag.FlagSet) *scaleBench {
	b := &scaleBench{}
	flags.BoolVar(&b.quick, "quick", false, "a tenth of everything, for one minute instead of ten")
	flags.StringVar(&b.binary, "binary", "bin/kubefoundry", "the server to measure")
	flags.IntVar(&b.nodes, "nodes", 1000, "nodes of the large cluster")
	flags.IntVar(&b.deployments, "deployments", 2000, "deployments of the large cluster, of five pods each on average")
	flags.DurationVar(&b.idle, "idle", 30*time.Second, "time over which idle CPU is measured")
	flags.DurationVar(&b.patience, "patience", 12*time.Minute, "time for the pods of a cluster to be made")
	return b
}

// Aims for the large cluster.
const (
	aimReady    = 20 * time.Second
	aimResident = 400.0 // MB
	aimIdle     = 5.0   // per cent of a core
)

// sized is what one cluster gave.
type sized struct {
	nodes, deployments, pods int // documents
	ready                    time.Duration
	resident                 float64 // MB
	idle                     float64 // per cent of a core
}

func (b *scaleBench) run(ctx context.Context, out io.Writer) error {
	if b.quick {
		b.nodes, b.deployments, b.idle = b.nodes/10, b.deployments/10, b.idle/3
	}
	var both [2]sized
	for i, part := range []int{10, 1} {
		var err error
		if both[i], err = b.measure(ctx, b.nodes/part, b.deployments/part); err != nil {
			return err
		}
	}
	title := "scale: kubefoundry serve on a whole cluster with simulated nodes; each row against a tenth of it"
	fmt.Fprintf(out, "\n%s\n%s\n", title, strings.Repeat("=", len(title)))
	rows := [][]string{{"nodes", "deployments", "pods", "ready after", "resident", "idle CPU"}}
	for _, s := range both {
		rows = append(rows, []string{
			fmt.Sprint(s.nodes), fmt.Sprint(s.deployments), fmt.Sprint(s.pods), fmt.Sprintf("%.2f s", s.ready.Seconds()),
			fmt.Sprintf("%.0f MB", s.resident), fmt.Sprintf("%.1f %% of a core", s.idle),
		})
	}
	small, large := both[0], both[1]
	verdict := func(met bool) string { return map[bool]string{true: ": met", false: ": MISSED"}[met] }
	growth := func(small, large float64) string { return fmt.Sprintf("%.1fx", large/small) }
	rows = append(rows,
		[]string{
			growth(float64(small.nodes), float64(large.nodes)), growth(float64(small.deployments), float64(large.deployments)),
			growth(float64(small.pods), float64(large.pods)), growth(small.ready.Seconds(), large.ready.Seconds()),
			growth(small.resident, large.resident), growth(small.idle, large.idle),
		},
		[]string{
			"aim", "", "", "< 20 s" + verdict(large.ready < aimReady), "< 400 MB" + verdict(large.resident < aimResident),
			"< 5 %" + verdict(large.idle < aimIdle),
		})
	return table(out, rows)
}

func (b *scaleBench) measure(ctx context.Context, nodes, deployments int) (s sized, err error) {
	progress("scale: a cluster with %d nodes and %d deployments", nodes, deployments)
	cpuNodes := max(nodes/10, 1)
	cluster, err := devcluster.Start(ctx, devcluster.Options{
		GPUNodes: nodes - cpuNodes, CPUNodes: cpuNodes, Scenario: "scale", Deployments: deployments, Progress: os.Stderr,
	})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if err := b.settle(ctx, cluster, nodes, deployments); err != nil {
		return s, err
	}
	server, err := startServer(ctx, b.binary, cluster.Kubeconfig())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	s.ready = server.ready
	progress("scale: ready after %s", s.ready)
	if err := sleep(ctx, 10*time.Second); err != nil {
		return s, err
	}
	before, err := server.usage()
	if err != nil {
		return s, err
	}
	if err := sleep(ctx, b.idle); err != nil {
		return s, err
	}
	after, err := server.usage()
	if err != nil {
		return s, err
	}
	s.resident = float64(after.Resident) / 1e6
	s.idle = 100 * (after.CPU - before.CPU).Seconds() / b.idle.Seconds()
	documents, err := server.documents(ctx)
	s.nodes, s.deployments, s.pods = documents["nodes"], documents["deployments"], documents["pods"]
	return s, err
}

// settle waits until the pods are there and most of them run, or until no more come to be.
func (b *scaleBench) settle(ctx context.Context, cluster *devcluster.Cluster, nodes, deployments int) error {
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		return err
	}
	count := func(selector string) (int, error) {
		list, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: selector})
		if err != nil {
			return 0, err
		}
		return len(list.Items), nil
	}
	begun := time.Now()
	for last, since := "", time.Now(); ; {
		all, err := count("")
		if err != nil {
			return err
		}
		running, err := count("status.phase=Running")
		if err != nil {
			return err
		}
		now := fmt.Sprintf("%d pods, %d of them running", all, running)
		if now != last {
			progress("scale: %s", now)
			last, since = now, time.Now()
		}
		switch {
		case all >= deployments*4 && time.Since(since) > 20*time.Second:
			return nil
		case time.Since(begun) > b.patience:
			return fmt.Errorf("a cluster of %d nodes and %d deployments did not come to rest within %s: %s", nodes, deployments, b.patience, now)
		}
		if err := sleep(ctx, 5*time.Second); err != nil {
			return err
		}
	}
}

// documents counts what the server holds, by kind.
func (s *server) documents(ctx context.Context) (map[string]int, error) {
	text, err := s.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var n float64
		rest, ok := strings.CutPrefix(lines.Text(), `kubefoundry_view_documents{kind="`)
		kind, value, cut := strings.Cut(rest, `"} `)
		if !ok || !cut {
			continue
		}
		if _, err := fmt.Sscan(value, &n); err != nil {
			return nil, fmt.Errorf("metrics of the server: %w", err)
		}
		found[kind] = int(n)
	}
	return found, nil
}
