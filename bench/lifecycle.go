package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes/kaito"
)

// lifecycleBench creates deployments until they are in the list, and deletes them until they are gone from it.
type lifecycleBench struct {
	quick       bool
	binary      string
	deployments int
	times       int
}

func newLifecycleBench(flags *flag.FlagSet) *lifecycleBench {
	b := &lifecycleBench{}
	flags.BoolVar(&b.quick, "quick", false, "a tenth of everything, for seconds instead of minutes")
	flags.StringVar(&b.binary, "binary", "bin/kubefoundry", "the server to measure")
	flags.IntVar(&b.deployments, "deployments", 50, "deployments in the cluster")
	flags.IntVar(&b.times, "times", 200, "deployments that are created and deleted, each way")
	return b
}

func (b *lifecycleBench) run(ctx context.Context, out io.Writer) (err error) {
	if b.quick {
		b.times /= 10
	}
	kube, err := startAPIServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kube.stop()) }()
	if err := kube.deploy(ctx, 0, b.deployments); err != nil {
		return err
	}
	server, err := startServer(ctx, b.binary, kube.cluster.Kubeconfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	r := newReport(out, "lifecycle: create until it is in the list, delete until it is gone; the baseline is client-go with the same objects, listing Workspaces only")
	for _, c := range []struct{ what, source string }{{"one object", "premade"}, {"with its Service", "vllm"}} {
		if err := b.measure(ctx, r, kube, server, c.what, c.source); err != nil {
			return err
		}
	}
	return nil
}

// way is one of two: over the HTTP API, or to the API server.
type way interface {
	create(ctx context.Context, c *api.DeploymentConfig) error
	remove(ctx context.Context, name string) error
	listed(ctx context.Context, name string) (bool, error)
}

// measure takes turns, so that whatever else the machine does falls on both.
func (b *lifecycleBench) measure(ctx context.Context, r *report, kube *apiServer, server *server, what, source string) error {
	progress("lifecycle: %s, %d times", what, b.times)
	ways := [2]way{overHTTP{server}, direct{kube}}
	var created, removed [2]samples
	for n := range b.times {
		for i := range ways {
			at := (n + i) % 2
			c := &api.DeploymentConfig{Provider: "kaito", Name: fmt.Sprintf("life-%d-%d", n, at), Namespace: benchNamespace, ModelSource: source}
			if source == "premade" {
				c.PremadeModel = "llama3.2:1b"
			} else {
				c.ModelId = "org/model"
			}
			begun := time.Now()
			if err := ways[at].create(ctx, c); err != nil {
				return err
			}
			if err := await(ctx, ways[at], c.Name, true); err != nil {
				return err
			}
			created[at] = append(created[at], time.Since(begun))
			begun = time.Now()
			if err := ways[at].remove(ctx, c.Name); err != nil {
				return err
			}
			if err := await(ctx, ways[at], c.Name, false); err != nil {
				return err
			}
			removed[at] = append(removed[at], time.Since(begun))
		}
	}
	for _, row := range []struct {
		name string
		took [2]samples
	}{{"create, " + what, created}, {"delete, " + what, removed}} {
		b.row(r, row.name, row.took[0], row.took[1])
	}
	return nil
}

func (b *lifecycleBench) row(r *report, what string, ours, bare samples) {
	ratio := float64(ours.at(50)) / float64(bare.at(50))
	met := ratio <= 1
	r.row(row{
		what: what + ": p50 / p99", measured: ms(ours.at(50)) + " / " + ms(ours.at(99)), baseline: ms(bare.at(50)) + " / " + ms(bare.at(99)),
		ratio: times(ratio), aim: "<= 1x", met: &met,
	})
}

// await asks again and again, without a pause: both ways ask as fast as they are answered.
func await(ctx context.Context, w way, name string, there bool) error {
	for {
		is, err := w.listed(ctx, name)
		if err != nil || is == there {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// overHTTP is KubeFoundry.
type overHTTP struct{ server *server }

func (w overHTTP) ask(ctx context.Context, method, path string, body any, out any) error {
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+w.server.address+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, response.Status, b)
	}
	return json.Unmarshal(b, out)
}

func (w overHTTP) create(ctx context.Context, c *api.DeploymentConfig) error {
	var made api.DeploymentCreated
	return w.ask(ctx, http.MethodPost, listPath, c, &made)
}

func (w overHTTP) remove(ctx context.Context, name string) error {
	var message api.Message
	return w.ask(ctx, http.MethodDelete, listPath+"/"+name+"?namespace="+benchNamespace, nil, &message)
}

func (w overHTTP) listed(ctx context.Context, name string) (bool, error) {
	var list struct {
		Deployments []struct{ Name string }
	}
	if err := w.ask(ctx, http.MethodGet, listPath+"?namespace="+benchNamespace, nil, &list); err != nil {
		return false, err
	}
	for _, d := range list.Deployments {
		if d.Name == name {
			return true, nil
		}
	}
	return false, nil
}

// direct is client-go, with manifests that are made already.
type direct struct{ kube *apiServer }

var services = schema.GroupVersionResource{Version: "v1", Resource: "services"}

func (w direct) create(ctx context.Context, c *api.DeploymentConfig) error {
	manifests, wrong := kaito.New().Build(c)
	if len(wrong) > 0 {
		return fmt.Errorf("%v", wrong)
	}
	made, err := w.kube.workspaces().Create(ctx, manifests.Primary, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		return err
	}
	for _, companion := range manifests.Companions {
		companion.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: made.GetAPIVersion(), Kind: made.GetKind(), Name: made.GetName(), UID: made.GetUID(),
		}})
		_, err := w.kube.client.Resource(services).Namespace(benchNamespace).Create(ctx, companion, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w direct) remove(ctx context.Context, name string) error {
	return w.kube.workspaces().Delete(ctx, name, metav1.DeleteOptions{})
}

func (w direct) listed(ctx context.Context, name string) (bool, error) {
	list, err := w.kube.workspaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	for i := range list.Items {
		if list.Items[i].GetName() == name {
			return true, nil
		}
	}
	return false, nil
}
