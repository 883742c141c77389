package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// stored is config.json, with keys of which this version knows nothing.
type stored map[string]json.RawMessage

const (
	keyNamespace = "defaultNamespace"
	keyProvider  = "activeProviderId"
)

// read decodes a ConfigMap. Nothing stored is no mistake.
func read(m *corev1.ConfigMap) (stored, error) {
	text := strings.TrimSpace(m.Data[Key])
	if text == "" {
		return stored{}, nil
	}
	var s stored
	if err := json.Unmarshal([]byte(text), &s); err != nil || s == nil {
		return nil, fmt.Errorf("%s of the ConfigMap %s/%s is no JSON object: correct it with kubectl edit, or delete the ConfigMap", Key, m.Namespace, m.Name)
	}
	return s, nil
}

func (s stored) text(key string) (value, problem string) {
	raw, ok := s[key]
	if !ok || string(raw) == "null" {
		return "", ""
	}
	if json.Unmarshal(raw, &value) != nil {
		return "", key + " is not a text and is passed over"
	}
	return value, ""
}

// known is the settings that this version knows. Values that it would not have taken are left out, and named.
func (s stored) known(providers []string) (c api.SettingsConfig, problem string) {
	namespace, wrongNamespace := s.text(keyNamespace)
	provider, wrongProvider := s.text(keyProvider)
	if wrongNamespace == "" && namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
		namespace, wrongNamespace = "", keyNamespace+" is no name of a namespace and is passed over"
	}
	if wrongProvider == "" && provider != "" && !slices.Contains(providers, provider) {
		provider, wrongProvider = "", keyProvider+" names no runtime and is passed over"
	}
	problems := slices.DeleteFunc([]string{wrongNamespace, wrongProvider}, func(p string) bool { return p == "" })
	return api.SettingsConfig{DefaultNamespace: namespace, ActiveProviderId: provider}, strings.Join(problems, "; ")
}

// Check tells everything that is wrong with a change.
func (s *Store) Check(change api.SettingsChange) []api.ErrorDetail {
	var details []api.ErrorDetail
	if n := change.DefaultNamespace; n != nil && *n != "" && len(validation.IsDNS1123Label(*n)) > 0 {
		details = append(details, api.ErrorDetail{Field: keyNamespace, Message: "must be the name of a namespace: at most 63 lower case letters, digits and dashes, beginning and ending with a letter or a digit"})
	}
	if p := change.ActiveProviderId; p != nil && *p != "" && !slices.Contains(s.Providers, *p) {
		details = append(details, api.ErrorDetail{Field: keyProvider, Message: "must be one of " + strings.Join(s.Providers, ", ")})
	}
	return details
}

// Change writes a change with the caller's access. Its errors are the Kubernetes API's, or *api.Error: Conflict where another
// change came before.
func (s *Store) Change(ctx context.Context, config *rest.Config, change api.SettingsChange) (Current, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return Current{}, fmt.Errorf("client: %w", err)
	}
	maps := client.CoreV1().ConfigMaps(s.Namespace)
	found, err := maps.Get(ctx, Name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return Current{}, err
	}
	if missing {
		found = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: Name, Namespace: s.Namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": "kubefoundry"},
		}}
	}
	if change.ResourceVersion != "" && change.ResourceVersion != found.ResourceVersion {
		return Current{}, conflict()
	}
	settings, err := read(found)
	if err != nil {
		return Current{}, api.Errorf(api.ErrorCodeConflict, "%v", err)
	}
	settings.set(keyNamespace, change.DefaultNamespace)
	settings.set(keyProvider, change.ActiveProviderId)
	if found.Data == nil {
		found.Data = map[string]string{}
	}
	if found.Data[Key], err = settings.encode(); err != nil {
		return Current{}, err
	}
	var written *corev1.ConfigMap
	if missing {
		written, err = create(ctx, client, found)
	} else {
		written, err = maps.Update(ctx, found, metav1.UpdateOptions{}) // refused where it is not this version any more
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return Current{}, conflict()
	}
	if err != nil {
		return Current{}, err
	}
	c := Current{ResourceVersion: written.ResourceVersion}
	c.Config, _ = settings.known(s.Providers)
	return c, nil
}

// create makes the ConfigMap, and its namespace where that is not there, as on somebody's own machine.
func create(ctx context.Context, client kubernetes.Interface, m *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	made, err := client.CoreV1().ConfigMaps(m.Namespace).Create(ctx, m, metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) {
		return made, err
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.Namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	return client.CoreV1().ConfigMaps(m.Namespace).Create(ctx, m, metav1.CreateOptions{})
}

func conflict() error {
	return api.Errorf(api.ErrorCodeConflict, "somebody else changed the settings since you read them: read /api/settings again, and send your change with its resourceVersion")
}

func (s stored) set(key string, value *string) {
	switch {
	case value == nil:
	case *value == "":
		delete(s, key)
	default:
		s[key], _ = json.Marshal(*value) // a text
	}
}

func (s stored) encode() (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("settings: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, plain, "", "  "); err != nil {
		return "", fmt.Errorf("settings: %w", err)
	}
	return b.String(), nil
}
