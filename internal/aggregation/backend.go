package aggregation

import (
	"fmt"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// backend is the object: a server that is there, and nothing that anybody wrote, so it has no age.
type backend struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata"`
	Status   backendStatus     `json:"status"`
}

type backendStatus struct {
	// Version of the server.
	Version string `json:"version"`
}

type backendList struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ListMeta `json:"metadata"`
	Items    []backend       `json:"items"`
}

// renditions are a document for each way to ask for a table: with objects, with their metadata, or without.
type renditions map[metav1.IncludeObjectPolicy]document

func tables(object func(as metav1.IncludeObjectPolicy) document) renditions {
	all := renditions{}
	for _, with := range []metav1.IncludeObjectPolicy{metav1.IncludeMetadata, metav1.IncludeObject, metav1.IncludeNone} {
		all[with] = object(with)
	}
	all[""] = all[metav1.IncludeMetadata]
	return all
}

func theBackend(version string) backend {
	return backend{
		TypeMeta: metav1.TypeMeta{APIVersion: Group + "/" + Version, Kind: kind},
		Metadata: metav1.ObjectMeta{Name: Backend},
		Status:   backendStatus{Version: version},
	}
}

// newBackend is the answer to a get.
func newBackend(version string) renditions {
	b := theBackend(version)
	return tables(func(with metav1.IncludeObjectPolicy) document {
		return document{
			asJSON(b),
			asOther(metav1.SchemeGroupVersion.WithKind("Table"), tableOf(with, b)),
			asOther(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata"), partial(b)),
		}
	})
}

// newBackends is the answer to a list of servers with these versions.
func newBackends(version ...string) renditions {
	list := backendList{TypeMeta: metav1.TypeMeta{APIVersion: Group + "/" + Version, Kind: kind + "List"}, Items: []backend{}}
	metadata := metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: "PartialObjectMetadataList"},
		Items:    []metav1.PartialObjectMetadata{},
	}
	for _, v := range version {
		b := theBackend(v)
		list.Items = append(list.Items, b)
		metadata.Items = append(metadata.Items, *partial(b))
	}
	return tables(func(with metav1.IncludeObjectPolicy) document {
		return document{
			asJSON(list),
			asOther(metav1.SchemeGroupVersion.WithKind("Table"), tableOf(with, list.Items...)),
			asOther(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadataList"), metadata),
		}
	})
}

func partial(b backend) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: "PartialObjectMetadata"},
		ObjectMeta: b.Metadata,
	}
}

// tableOf is what kubectl prints.
func tableOf(with metav1.IncludeObjectPolicy, backends ...backend) *metav1.Table {
	table := &metav1.Table{
		TypeMeta: metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: "Table"},
		ColumnDefinitions: []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string", Format: "name", Description: "The only backend is called " + Backend + "."},
			{Name: "Version", Type: "string", Description: "Version of the server."},
		},
		Rows: []metav1.TableRow{},
	}
	for _, b := range backends {
		row := metav1.TableRow{Cells: []any{b.Metadata.Name, b.Status.Version}}
		switch with {
		case metav1.IncludeObject:
			row.Object = runtime.RawExtension{Raw: asJSON(b).body}
		case metav1.IncludeMetadata:
			row.Object = runtime.RawExtension{Raw: asJSON(partial(b)).body}
		case metav1.IncludeNone:
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

func (a *API) serveOne(w http.ResponseWriter, r *http.Request) { serveRenditions(w, r, a.one) }

func (a *API) serveList(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if watch := query.Get("watch"); query.Has("watch") && !slices.Contains([]string{"false", "0"}, watch) {
		writeStatus(w, apierrors.NewMethodNotSupported(groupResource(), "watch"))
		return
	}
	there, err := selected(query.Get("labelSelector"), query.Get("fieldSelector"))
	switch {
	case err != nil:
		writeStatus(w, apierrors.NewBadRequest(err.Error()))
	case there:
		serveRenditions(w, r, a.list)
	default:
		serveRenditions(w, r, a.empty)
	}
}

func serveRenditions(w http.ResponseWriter, r *http.Request, all renditions) {
	with := r.URL.Query().Get("includeObject")
	found, ok := all[metav1.IncludeObjectPolicy(with)]
	if !ok {
		writeStatus(w, apierrors.NewBadRequest(fmt.Sprintf("includeObject is %q; it may be None, Metadata or Object", with)))
		return
	}
	found.serve(w, r)
}

// selected says whether selectors select the backend.
func selected(byLabels, byFields string) (bool, error) {
	label, err := labels.Parse(byLabels)
	if err != nil {
		return false, fmt.Errorf("labelSelector: %w", err)
	}
	field, err := fields.ParseSelector(byFields)
	if err != nil {
		return false, fmt.Errorf("fieldSelector: %w", err)
	}
	for _, needed := range field.Requirements() {
		if needed.Field != "metadata.name" {
			return false, fmt.Errorf("fieldSelector: backends are selected by metadata.name and not by %q", needed.Field)
		}
	}
	return label.Matches(labels.Set{}) && field.Matches(fields.Set{"metadata.name": Backend}), nil
}
