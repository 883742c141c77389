package main

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// store is the cluster's etcd, in this process. It survives a restart of the API
// server, and nothing else: it does not sync to disk, which is what makes it fast.
type store struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	// endpoint is a unix socket: it needs no port that somebody else could take
	// between the choice and the bind.
	endpoint string
}

// startStore starts etcd with its data in dir.
func startStore(ctx context.Context, dir string) (*store, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(dir, "etcd")
	clients := url.URL{Scheme: "unix", Path: filepath.Join(dir, "etcd.sock")}
	peers := url.URL{Scheme: "unix", Path: filepath.Join(dir, "peer.sock")}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.LogOutputs = []string{filepath.Join(dir, "etcd.log")}
	config.LogLevel = "error"
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		etcd.Close()
		return nil, fmt.Errorf("etcd: %w", err)
	case <-ctx.Done():
		etcd.Close()
		return nil, fmt.Errorf("etcd: not ready: %w", context.Cause(ctx))
	}
	return &store{etcd: etcd, client: v3client.New(etcd.Server), endpoint: clients.String()}, nil
}

// Err carries an error that ended etcd.
func (s *store) Err() <-chan error { return s.etcd.Err() }

// Compact drops all history before the current revision, which it returns. An
// API server that is asked for an older resourceVersion and does not have it in
// its watch cache then answers 410 Gone.
func (s *store) Compact(ctx context.Context) (int64, error) {
	now, err := s.client.Get(ctx, "/", clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("etcd: read revision: %w", err)
	}
	revision := now.Header.Revision
	if _, err := s.client.Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
		return 0, fmt.Errorf("etcd: compact at %d: %w", revision, err)
	}
	return revision, nil
}

// Close ends etcd.
func (s *store) Close() {
	_ = s.client.Close()
	s.etcd.Close()
}
