package aggregation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/munnerz/goautoneg"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const mediaJSON = "application/json"

// document is one answer in all forms that it has. The first is for clients that take any.
type document []rendition

// rendition is one form of an answer, ready to be sent.
type rendition struct {
	mediaType string
	// as is what the answer was turned into, if the client asks for something else than what is there.
	as          schema.GroupVersionKind
	contentType string
	body        []byte
	etag        string
}

func newRendition(mediaType string, as schema.GroupVersionKind, body []byte) rendition {
	sum := sha256.Sum256(body)
	r := rendition{mediaType: mediaType, as: as, contentType: mediaType, body: body, etag: hex.EncodeToString(sum[:16])}
	if !as.Empty() {
		r.contentType += ";g=" + as.Group + ";v=" + as.Version + ";as=" + as.Kind
	}
	return r
}

// asJSON is an object in its own form, and asOther one that stands for another.
func asJSON(object any) rendition { return asOther(schema.GroupVersionKind{}, object) }

func asOther(as schema.GroupVersionKind, object any) rendition {
	body, err := json.Marshal(object)
	if err != nil {
		panic(err) // a mistake in this package
	}
	return newRendition(mediaJSON, as, append(body, '\n'))
}

// choose returns the form that an Accept header prefers.
func (d document) choose(accept string) (rendition, bool) {
	if accept == "" || accept == "*/*" || accept == mediaJSON {
		return d[0], true
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		if clause.Q == 0 {
			continue
		}
		wanted := schema.GroupVersionKind{Group: clause.Params["g"], Version: clause.Params["v"], Kind: clause.Params["as"]}
		if wanted.Kind == "" {
			wanted = schema.GroupVersionKind{}
		}
		for _, form := range d {
			if form.as == wanted && matches(clause, form.mediaType) {
				return form, true
			}
		}
	}
	return rendition{}, false
}

func matches(clause goautoneg.Accept, mediaType string) bool {
	kind, subtype, _ := strings.Cut(mediaType, "/")
	return (clause.Type == "*" || clause.Type == kind) && (clause.SubType == "*" || clause.SubType == subtype)
}

func (d document) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	form, ok := d.choose(r.Header.Get("Accept"))
	if !ok {
		var offered []string
		for _, form := range d {
			offered = append(offered, form.contentType)
		}
		writeStatus(w, failure(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
			"only the following media types are accepted: "+strings.Join(offered, ", ")))
		return
	}
	header := w.Header()
	header.Set("Content-Type", form.contentType)
	header.Set("ETag", `"`+form.etag+`"`)
	header.Set("Cache-Control", "no-cache, private")
	if r.URL.RawQuery != "" && r.URL.Query().Get("hash") == d[0].etag {
		// The address changes with the content.
		header.Set("Cache-Control", "public, immutable, max-age=31536000")
	}
	// It sees to HEAD and If-None-Match.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(form.body))
}
