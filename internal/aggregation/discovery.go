package aggregation

import (
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func groupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: Group, Version: Version, Kind: kind}
}

// Clients may get and list backends, and do anything with what is behind the proxy: which methods make which verbs is the
// API server's to say.
func resourceVerbs() []string { return []string{"get", "list"} }
func proxyVerbs() []string    { return []string{"create", "delete", "get", "patch", "update"} }

func (a *API) addDiscovery() {
	version := metav1.GroupVersionForDiscovery{GroupVersion: Group + "/" + Version, Version: Version}
	group := metav1.APIGroup{Name: Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	groups := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{group}}
	group.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}
	resources := metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"},
		GroupVersion: Group + "/" + Version,
		APIResources: []metav1.APIResource{
			{Name: resource, SingularName: "backend", Kind: kind, Verbs: resourceVerbs()},
			{Name: resource + "/" + proxy, Kind: kind, Verbs: proxyVerbs()},
		},
	}
	all := apidiscoveryv2.SchemeGroupVersion.WithKind("APIGroupDiscoveryList")
	a.documents["/apis"] = document{asJSON(groups), asOther(all, aggregated())}
	a.documents[groupPath] = document{asJSON(group)}
	a.documents[versionPath] = document{asJSON(resources)}
}

// aggregated is groups and resources in one answer, which the API server asks for first.
func aggregated() *apidiscoveryv2.APIGroupDiscoveryList {
	responds := metav1.GroupVersionKind(groupVersionKind())
	return &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{APIVersion: apidiscoveryv2.SchemeGroupVersion.String(), Kind: "APIGroupDiscoveryList"},
		Items: []apidiscoveryv2.APIGroupDiscovery{{
			ObjectMeta: metav1.ObjectMeta{Name: Group},
			Versions: []apidiscoveryv2.APIVersionDiscovery{{
				Version:   Version,
				Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
				Resources: []apidiscoveryv2.APIResourceDiscovery{{
					Resource: resource, SingularResource: "backend", Scope: apidiscoveryv2.ScopeCluster,
					ResponseKind: &responds, Verbs: resourceVerbs(),
					Subresources: []apidiscoveryv2.APISubresourceDiscovery{{
						Subresource: proxy, ResponseKind: &responds, Verbs: proxyVerbs(),
					}},
				}},
			}},
		}},
	}
}
