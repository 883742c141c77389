// Package devcluster gives tests a real Kubernetes cluster with simulated GPU
// nodes: it builds the module in the folder devcluster once, caches the binary
// and runs it.
//
// Its one law: a cluster ends with the program that started it. The cluster's
// standard input is a pipe that this process holds; when the process ends in
// whatever way, the pipe closes and the cluster cleans up after itself.
//
// A package of tests takes one cluster for its whole run:
//
//	var shared devcluster.Shared
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Runner(m)) }
//
//	func TestSomething(t *testing.T) {
//		c := shared.Cluster(t)
//		ns := devcluster.Namespace(t, c)
//		…
//	}
//
// With KUBEFOUNDRY_DEVCLUSTER_KUBECONFIG set, all packages attach to the cluster
// of that kubeconfig instead. Tests that break the cluster call [Start] for one
// of their own.
//
// The first build takes about six minutes on two cores and downloads 140 MB.
// Give "go test" -timeout 30m, or run "go run ./internal/devcluster/run path"
// before.
package devcluster
