package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/kubefoundry/kubefoundry/api"
)

// Config says where the bus is and how it keeps what it is given. The zero Config is an embedded server in memory.
type Config struct {
	// URL of an external NATS, or several separated by commas: nats://…, tls://… Empty embeds a server.
	URL string
	// CredentialsFile holds the JWT and the seed of a NATS user. External only.
	CredentialsFile string
	// CAFile holds the authorities that the server's certificate is checked against, in PEM. External only.
	CAFile string
	// CertificateFile and KeyFile are the client's certificate, in PEM. External only.
	CertificateFile, KeyFile string

	// StoreDir keeps the bucket and the events on disk. Empty keeps them in memory. The embedded server owns the
	// directory alone; with an external NATS any value asks for file storage there and the path is not used.
	StoreDir string
	// StoreLimit is how many bytes the embedded server may store. Default 2 GiB.
	StoreLimit int64

	// Bucket is the name of the KeyValue bucket. Default `kubefoundry`.
	Bucket string
	// Replicas of the bucket and the events in a NATS cluster. Default 1.
	Replicas int
	// TombstoneTTL is how long the bucket remembers that a document was deleted. A follower that was cut off for half of
	// it starts anew. At least 1 s, default 2 h.
	TombstoneTTL time.Duration

	// EventsMaxAge and EventsMaxBytes bound what a late subscriber can catch up with. Default 1 h, 64 MiB.
	EventsMaxAge   time.Duration
	EventsMaxBytes int64
	// EventsQueue is how many events may wait to be sent; beyond it the oldest are dropped. Default 4096.
	EventsQueue int
	// Source is the CloudEvents source of the events, a URI reference that names this installation. Default
	// `/kubefoundry`.
	Source string

	// Listen lets programs outside of this process in. Embedded only.
	Listen Listen

	// tuning is for tests.
	tuning tuning
}

// tuning holds the paces, and which guards of the follower are switched off.
type tuning struct {
	request       time.Duration // bounds one request to NATS
	ack           time.Duration // bounds the wait for one acknowledgement
	followerPoll  time.Duration
	publisherPoll time.Duration
	heartbeat     time.Duration
	reconnectWait time.Duration
	readyBound    time.Duration // how long the number of keys may hold an epoch back
	inFlight      int           // publishes not acknowledged yet

	withoutEpochCheck bool
	withoutRewatch    bool
	withoutReadiness  bool
	withoutHorizon    bool
}

var errConfig = errors.New("bus configuration")

// withDefaults fills in what was left out and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.StoreLimit, 2<<30)
	setDefault(&c.Bucket, "kubefoundry")
	setDefault(&c.Replicas, 1)
	setDefault(&c.TombstoneTTL, 2*time.Hour)
	setDefault(&c.EventsMaxAge, time.Hour)
	setDefault(&c.EventsMaxBytes, 64<<20)
	setDefault(&c.EventsQueue, 4096)
	setDefault(&c.Source, "/kubefoundry")
	c.Listen = c.Listen.withDefaults()
	setDefault(&c.tuning.request, 2*time.Second)
	setDefault(&c.tuning.ack, 5*time.Second)
	setDefault(&c.tuning.followerPoll, 500*time.Millisecond)
	setDefault(&c.tuning.publisherPoll, time.Second)
	setDefault(&c.tuning.heartbeat, api.PublisherHeartbeat)
	setDefault(&c.tuning.reconnectWait, 250*time.Millisecond)
	setDefault(&c.tuning.readyBound, 2*time.Second)
	setDefault(&c.tuning.inFlight, 1024)

	switch {
	case !regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString(c.Bucket):
		return c, fmt.Errorf("%w: bucket %q: only letters, digits, dashes and underscores are allowed", errConfig, c.Bucket)
	case c.TombstoneTTL < time.Second:
		return c, fmt.Errorf("%w: tombstone TTL %v: NATS keeps markers for 1 s at least", errConfig, c.TombstoneTTL)
	case c.Replicas < 1 || c.Replicas > 5:
		return c, fmt.Errorf("%w: %d replicas: NATS allows 1 to 5", errConfig, c.Replicas)
	case c.URL == "" && c.Replicas > 1:
		return c, fmt.Errorf("%w: %d replicas: the embedded server is one; set a URL", errConfig, c.Replicas)
	case c.URL == "" && (c.CredentialsFile != "" || c.CAFile != "" || c.CertificateFile != ""):
		return c, fmt.Errorf("%w: credentials or TLS files without a URL: the embedded server is reached in the process", errConfig)
	case c.URL != "" && c.Listen.Address != "":
		return c, fmt.Errorf("%w: listen address %s: only the embedded server listens; an external NATS has accounts of its own", errConfig, c.Listen.Address)
	case (c.CertificateFile == "") != (c.KeyFile == ""):
		return c, fmt.Errorf("%w: a client certificate needs both its certificate and its key file", errConfig)
	}
	if c.Listen.Address != "" {
		if err := c.Listen.check(); err != nil {
			return c, err
		}
	}
	return c, c.readFiles()
}

// readFiles finds out what is wrong with the files while somebody is there to hear it: the library reads them when it
// connects, and takes a failure for a server that is down.
func (c Config) readFiles() error {
	if c.CredentialsFile != "" {
		text, err := os.ReadFile(c.CredentialsFile)
		if err == nil {
			_, err = nkeys.ParseDecoratedUserNKey(text)
		}
		if err != nil {
			return fmt.Errorf("%w: credentials file %s: %w", errConfig, c.CredentialsFile, err)
		}
	}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
			err = errors.New("holds no certificate in PEM")
		}
		if err != nil {
			return fmt.Errorf("%w: CA file %s: %w", errConfig, c.CAFile, err)
		}
	}
	if c.CertificateFile != "" {
		if _, err := tls.LoadX509KeyPair(c.CertificateFile, c.KeyFile); err != nil {
			return fmt.Errorf("%w: client certificate %s: %w", errConfig, c.CertificateFile, err)
		}
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
