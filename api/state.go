package api

import "time"

// ClusterState is the document of KindCluster: whether the Kubernetes API answers those who fill the bucket.
type ClusterState struct {
	Connected bool `json:"connected"`
	// KubernetesVersion is the API server's gitVersion, the last one known.
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// Error says why it does not answer, Since from when on.
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// PublisherState is the document of KindPublisher. Its presence says that a publisher has filled this bucket with all it
// knew; its time, renewed every PublisherHeartbeat, that one is still at work.
type PublisherState struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
}

// PublisherHeartbeat is how often a publisher renews its state.
const PublisherHeartbeat = 10 * time.Second
