package aggregation

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/openapiconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/yaml"
)

// openAPI describes the aggregated API in version 2, which the API server merges with that of all others. It says nothing of
// the server's version: replicas of two versions at once would make the merged document change with each of them.
//
//go:embed openapi.yaml
var openAPI []byte

// mediaOpenAPI is version 3 in the form that kubectl asks for.
const mediaOpenAPI = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"

func (a *API) addOpenAPI() {
	if err := a.tryOpenAPI(); err != nil {
		panic(fmt.Errorf("openapi.yaml: %w", err)) // it is compiled in
	}
}

func (a *API) tryOpenAPI() error {
	two, err := yaml.YAMLToJSON(openAPI)
	if err != nil {
		return err
	}
	var swagger spec.Swagger
	if err := json.Unmarshal(two, &swagger); err != nil {
		return err
	}
	three, err := json.Marshal(openapiconv.ConvertV2ToV3(&swagger))
	if err != nil {
		return err
	}
	binary, err := handler3.ToV3ProtoBinary(three)
	if err != nil {
		return err
	}
	none := schema.GroupVersionKind{}
	described := document{newRendition(mediaJSON, none, three), newRendition(mediaOpenAPI, none, binary)}
	// Its older name, which is no valid media type.
	older := described[1]
	older.mediaType = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
	described = append(described, older)

	const path = "apis/" + Group + "/" + Version
	a.documents["/openapi/v2"] = document{newRendition(mediaJSON, none, two)}
	a.documents["/openapi/v3/"+path] = described
	a.documents["/openapi/v3"] = document{asJSON(handler3.OpenAPIV3Discovery{
		Paths: map[string]handler3.OpenAPIV3DiscoveryGroupVersion{
			path: {ServerRelativeURL: "/openapi/v3/" + path + "?hash=" + described[0].etag},
		},
	})}
	return nil
}
