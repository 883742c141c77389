package devcluster

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAggregateRefusesWhatIsOutOfReach(t *testing.T) {
	t.Parallel()
	var c Cluster
	for listener, want := range map[string]string{
		"127.98.0.1":         "not an ip:port",
		"[::1]:443":          errNotLoopback.Error(),
		"192.168.1.1:443":    errNotLoopback.Error(),
		"kubefoundry.io:443": "unexpected character",
	} {
		err := c.Aggregate(t.Context(), Aggregated{Group: "example.com", Version: "v1", Listener: listener})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", listener, err, want)
		}
	}
}

func TestAggregatedServiceLeadsToTheListener(t *testing.T) {
	t.Parallel()
	service, slice := Aggregated{Namespace: "n", Service: "s"}.service(netip.MustParseAddrPort("127.98.7.6:8443"))
	if slice.Endpoints[0].Addresses[0] != "10.98.7.6" || *slice.Ports[0].Port != 8443 {
		t.Errorf("endpoints %+v", slice)
	}
	if *slice.Ports[0].Name != service.Spec.Ports[0].Name || slice.Labels["kubernetes.io/service-name"] != "s" {
		t.Errorf("service %+v does not have endpoints %+v", service, slice)
	}
}
