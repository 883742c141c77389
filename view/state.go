package view

import (
	"fmt"
	"slices"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// silence is how long a publisher may be silent before what it published is called out of date.
const silence = 7 * api.PublisherHeartbeat / 2

// stale tells whether nobody keeps the documents up to date any more.
func (g *generation) stale() bool { return time.Since(g.heartbeat) > silence }

// stateOf tells what is known of each kind of a scope.
func (g *generation) stateOf(scope Scope) map[api.Kind]api.KindState {
	states := make(map[api.Kind]api.KindState, len(scope.kinds()))
	for _, kind := range scope.kinds() {
		states[kind] = g.state(kind, scope.Namespace, scope.Sight)
	}
	return states
}

func (g *generation) state(kind api.Kind, namespace string, sight *api.Sight) api.KindState {
	state, ok := g.states[kind]
	if !ok {
		state.Error = "not read from the cluster yet"
	}
	if g.stale() {
		state.Error = fmt.Sprintf("nothing has kept this up to date since %s; is a KubeFoundry server with cluster access running?",
			g.heartbeat.UTC().Format(time.RFC3339))
	}
	for cell, n := range g.counts[kind] {
		if (namespace == "" || cell.Namespace == "" || cell.Namespace == namespace) && sight.Includes(cell) {
			state.Count += n
		}
	}
	if state.Access = sight.Access(kind); state.Access != nil {
		// Where the installation is limited to some namespaces, their names are for those who may look into them.
		state.Sources = slices.DeleteFunc(slices.Clone(state.Sources), func(s api.Source) bool {
			return s.Namespace != "" && !slices.Contains(state.Access.Namespaces, s.Namespace)
		})
	}
	return state
}

// States tells what is known of each kind in a scope now.
func (v *View) States(scope Scope) (map[api.Kind]api.KindState, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return nil, errNotReady
	}
	return v.current.stateOf(scope), nil
}

// Cluster tells whether the Kubernetes API answers those who publish.
func (v *View) Cluster() (api.ClusterState, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return api.ClusterState{}, errNotReady
	}
	return v.current.cluster, nil
}

// shows tells whether a sight shows every document that there is of a kind.
func (g *generation) shows(sight *api.Sight, kind api.Kind) bool {
	for cell := range g.counts[kind] {
		if !sight.Includes(cell) {
			return false
		}
	}
	return true
}
