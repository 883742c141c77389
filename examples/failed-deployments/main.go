// Command failed-deployments tells somebody when a deployment fails. It is an example of an automation that reacts to events:
// it prints each failure, and posts it to a webhook if it is given one.
//
//	kubectl create serviceaccount robot -n ml
//	kubectl create rolebinding robot-view -n ml --clusterrole=view --serviceaccount=ml:robot
//	kubectl create token robot -n ml --audience kubefoundry-nats > token
//	go run . --server tls://kubefoundry-nats.kubefoundry.svc:4222 --ca ca.crt --token-file token --webhook https://…
//
// In a pod, mount a projected ServiceAccount token of this audience instead: the kubelet renews it, and it is read again for
// each connection.
//
// It does not miss a failure that happens while it is away for less than five minutes: its durable consumer knows how far it
// came. After longer, and after a restart of the server, it gets all events that are kept; it does not react to what it knows by
// its id, nor to what is older than an hour.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	stream   = "KUBEFOUNDRY_EVENTS"
	subjects = "kubefoundry.events.deployments.*.*.phase-changed"
	consumer = "failed-deployments"
	oldest   = time.Hour
)

// event is what this program reads of an event, which is a CloudEvent.
type event struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Data struct {
		Message  string `json:"message"` // "Deploying -> Failed: CrashLoopBackOff in 2 pods"
		Document struct {
			ID      string `json:"id"` // namespace/runtime/name
			Phase   string `json:"phase"`
			Message string `json:"message"`
		} `json:"document"`
	} `json:"data"`
}

func main() {
	server := flag.String("server", "tls://kubefoundry-nats.kubefoundry.svc:4222", "where KubeFoundry's NATS listens")
	ca := flag.String("ca", "", "file with the authority of the server's certificate; empty: those of the system")
	tokenFile := flag.String("token-file", "/var/run/secrets/kubefoundry/token", "file with a ServiceAccount token of the audience kubefoundry-nats")
	webhook := flag.String("webhook", "", "where failures are posted as JSON {\"text\": …}")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	react := func(_ context.Context, text string) error {
		_, err := fmt.Println(text)
		return err
	}
	if *webhook != "" {
		react = post(*webhook)
	}
	if err := run(ctx, *server, *ca, *tokenFile, react); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reacts to failures until ctx ends.
func run(ctx context.Context, server, ca, tokenFile string, react func(context.Context, string) error) error {
	options := []nats.Option{
		nats.Name(consumer),
		nats.TokenHandler(func() string {
			token, err := os.ReadFile(tokenFile)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			return strings.TrimSpace(string(token))
		}),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		// The server refuses everybody while it cannot ask the Kubernetes API. The client would give up at the second time.
		nats.IgnoreAuthErrorAbort(),
		// The server answers when it has asked who this is and filled the account.
		nats.Timeout(15 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { fmt.Fprintln(os.Stderr, "disconnected:", err) }),
		nats.ReconnectHandler(func(*nats.Conn) { fmt.Fprintln(os.Stderr, "connected again") }),
	}
	if ca != "" {
		options = append(options, nats.RootCAs(ca))
	}
	nc, err := nats.Connect(server, options...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	known := map[string]time.Time{} // ids of events that were reacted to
	for ctx.Err() == nil {
		// It ends when the consumer is gone: the server was restarted, or had not seen this program for too long.
		if err := follow(ctx, js, known, react); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "starting again:", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func follow(ctx context.Context, js jetstream.JetStream, known map[string]time.Time, react func(context.Context, string) error) error {
	c, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:       consumer,
		FilterSubject: subjects,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       time.Minute,
		MaxAckPending: 100,
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		// Fetching tells whether the consumer is still there, unlike waiting for ever.
		batch, err := c.Fetch(10, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return err
		}
		for msg := range batch.Messages() {
			if err := handle(ctx, msg.Data(), known, react); err != nil {
				fmt.Fprintln(os.Stderr, err)
				_ = msg.NakWithDelay(5 * time.Second) // it comes again
				continue
			}
			if err := msg.Ack(); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
	}
	return nil
}

// handle reacts to an event once.
func handle(ctx context.Context, body []byte, known map[string]time.Time, react func(context.Context, string) error) error {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("not an event: %w", err)
	}
	for id, at := range known {
		if time.Since(at) > 2*oldest {
			delete(known, id)
		}
	}
	if _, again := known[e.ID]; again || e.Data.Document.Phase != "Failed" || time.Since(e.Time) > oldest {
		return nil
	}
	text := e.Data.Document.ID + ": " + e.Data.Message
	if e.Data.Document.Message != "" {
		text += " (" + e.Data.Document.Message + ")"
	}
	if err := react(ctx, text); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	known[e.ID] = time.Now()
	return nil
}

// post sends a text to a webhook.
func post(url string) func(context.Context, string) error {
	client := &http.Client{Timeout: 10 * time.Second}
	return func(ctx context.Context, text string) error {
		body, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode >= 300 {
			return fmt.Errorf("webhook answered %s", response.Status)
		}
		return nil
	}
}
