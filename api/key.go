package api

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of documents that are not for clients: they carry, in the same order as the documents, what is known of them.
const (
	// KindSources holds one KindState for each kind, under the kind as id: which of its Kubernetes resources are synced.
	KindSources Kind = "sources"
	// KindCluster holds one ClusterState: whether the Kubernetes API answers.
	KindCluster Kind = "cluster"
	// KindPublisher holds one PublisherState, which also says that the bucket was filled.
	KindPublisher Kind = "publisher"
)

// Kinds lists the kinds that clients may ask for, in the order in which they are documented.
func Kinds() []Kind {
	return []Kind{KindDeployments, KindPods, KindNodes, KindPools, KindRuntimes, KindCapacity, KindAutoscaler, KindOperations}
}

// Key names a document. ID is unique within Kind: `namespace/runtime/name` for a deployment, `namespace/name` for a pod,
// the name for a node or a runtime, `install/name` or `build/namespace/name` for an operation, `cluster` where there is one document of its kind. Namespace is empty for what
// belongs to no namespace.
type Key struct {
	Kind      Kind
	Namespace string
	ID        string
}

// Keys of the kinds that have one document.
func CapacityKey() Key   { return Key{Kind: KindCapacity, ID: "cluster"} }
func PoolsKey() Key      { return Key{Kind: KindPools, ID: "cluster"} }
func AutoscalerKey() Key { return Key{Kind: KindAutoscaler, ID: "cluster"} }
func ClusterKey() Key    { return Key{Kind: KindCluster, ID: "cluster"} }
func PublisherKey() Key  { return Key{Kind: KindPublisher, ID: "cluster"} }

// DeploymentKey names the deployment of this name that a runtime holds in a namespace.
func DeploymentKey(namespace, runtime, name string) Key {
	return Key{Kind: KindDeployments, Namespace: namespace, ID: namespace + "/" + runtime + "/" + name}
}

// PodKey names a pod.
func PodKey(namespace, name string) Key {
	return Key{Kind: KindPods, Namespace: namespace, ID: namespace + "/" + name}
}

// NodeKey names a node.
func NodeKey(name string) Key { return Key{Kind: KindNodes, ID: name} }

// RuntimeKey names a runtime.
func RuntimeKey(id string) Key { return Key{Kind: KindRuntimes, ID: id} }

// OperationKey names an operation by its id. Namespace is that of a build, and empty for what concerns the cluster.
func OperationKey(namespace, id string) Key {
	return Key{Kind: KindOperations, Namespace: namespace, ID: id}
}

// SourcesKey names the state of a kind.
func SourcesKey(kind Kind) Key { return Key{Kind: KindSources, ID: string(kind)} }

// noNamespace stands in a bus key where a document belongs to no namespace. No namespace can have this name.
const noNamespace = "_"

// String is the key on the bus: `<kind>.<namespace or _>.<id>`, each escaped to be one token of a NATS subject.
func (k Key) String() string {
	namespace := noNamespace
	if k.Namespace != "" {
		namespace = escape(k.Namespace)
	}
	return escape(string(k.Kind)) + "." + namespace + "." + escape(k.ID)
}

var errKey = errors.New("want <kind>.<namespace or _>.<id>")

// ParseKey is the inverse of String. It accepts nothing that String does not make.
func ParseKey(s string) (Key, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return Key{}, fmt.Errorf("key %q: %w", s, errKey)
	}
	kind, okKind := unescape(parts[0])
	id, okID := unescape(parts[2])
	namespace, okNamespace := "", true
	if parts[1] != noNamespace {
		namespace, okNamespace = unescape(parts[1])
		okNamespace = okNamespace && namespace != ""
	}
	k := Key{Kind: Kind(kind), Namespace: namespace, ID: id}
	if !okKind || !okID || !okNamespace || kind == "" || id == "" || k.String() != s {
		return Key{}, fmt.Errorf("key %q: %w", s, errKey)
	}
	return k, nil
}

// escape makes one token of a NATS subject, and of a JetStream key, of any text: what is not a letter, a digit, a dash, a
// slash or an underscore inside a text becomes =XX. A lone underscore is escaped too, for it means "no namespace".
func escape(s string) string {
	if s == noNamespace {
		return "=5F"
	}
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = isPlain(s[i])
	}
	if plain {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		if isPlain(s[i]) {
			b = append(b, s[i])
		} else {
			b = append(b, '=', hex[s[i]>>4], hex[s[i]&15])
		}
	}
	return string(b)
}

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '=') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, okHi := nibble(s[i+1])
		lo, okLo := nibble(s[i+2])
		if !okHi || !okLo {
			return "", false
		}
		b = append(b, hi<<4|lo)
		i += 2
	}
	return string(b), true
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c == '-' || c == '/' || c == '_'
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
