package secrets

import (
	"context"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// Name of the Secret, and the Key that the token has in it.
const (
	Name = "hf-token-secret"
	Key  = "HF_TOKEN"
)

const (
	manager        = "kubefoundry"
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelType      = "kubefoundry.io/secret-type"
	tokenType      = "huggingface-token"
)

// NoNamespace tells that an error says that the namespace is not there.
func NoNamespace(err error) bool {
	if !apierrors.IsNotFound(err) {
		return false
	}
	var answer apierrors.APIStatus
	return errors.As(err, &answer) && answer.Status().Details != nil && answer.Status().Details.Kind == "namespaces"
}

// PutOptions say how far Put goes.
type PutOptions struct {
	CreateNamespace bool // where it is not there
	Overwrite       bool // a Secret that somebody else made
}

// Put writes the token into a namespace.
func Put(ctx context.Context, config *rest.Config, namespace, token string, o PutOptions) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	err = put(ctx, client, namespace, token, o.Overwrite)
	if o.CreateNamespace && NoNamespace(err) {
		_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{FieldManager: manager})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		err = put(ctx, client, namespace, token, o.Overwrite)
	}
	return err
}

func put(ctx context.Context, client kubernetes.Interface, namespace, token string, overwrite bool) error {
	secret := apply.Secret(Name, namespace).
		WithLabels(map[string]string{labelManagedBy: manager, labelType: tokenType}).
		WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{Key: []byte(token)})
	secrets := client.CoreV1().Secrets(namespace)
	_, err := secrets.Apply(ctx, secret, metav1.ApplyOptions{FieldManager: manager, Force: overwrite})
	if !apierrors.IsConflict(err) {
		return err
	}
	// Something else wrote it: an earlier version of ours, which is replaced, or a person.
	found, look := secrets.Get(ctx, Name, metav1.GetOptions{})
	if look == nil && ours(&found.ObjectMeta) {
		_, err = secrets.Apply(ctx, secret, metav1.ApplyOptions{FieldManager: manager, Force: true})
		return err
	}
	return api.Errorf(api.ErrorCodeConflict, "the Secret %s/%s is there already and was made by something else; delete it first, or send overwrite", namespace, Name)
}

func ours(o *metav1.ObjectMeta) bool { return o.Labels[labelManagedBy] == manager }

// Look tells whether a namespace has the Secret, and whether it is ours. It reads no token.
func Look(ctx context.Context, config *rest.Config, namespace string) (there, managed bool, err error) {
	found, err := look(ctx, config, namespace)
	if apierrors.IsNotFound(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return true, ours(&found.ObjectMeta), nil
}

func look(ctx context.Context, config *rest.Config, namespace string) (*metav1.PartialObjectMetadata, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return client.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(namespace).Get(ctx, Name, metav1.GetOptions{})
}

// Token reads the token of a namespace; empty where the Secret has none.
func Token(ctx context.Context, config *rest.Config, namespace string) (string, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("client: %w", err)
	}
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(secret.Data[Key]), nil
}

// Remove deletes the Secret of a namespace, if it is ours. It tells whether there was one.
func Remove(ctx context.Context, config *rest.Config, namespace string) (was bool, err error) {
	found, err := look(ctx, config, namespace)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	case !ours(&found.ObjectMeta):
		return true, api.Errorf(api.ErrorCodeConflict, "the Secret %s/%s is left, for it is not one that KubeFoundry made", namespace, Name)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return false, fmt.Errorf("client: %w", err)
	}
	uid := found.UID
	err = client.CoreV1().Secrets(namespace).Delete(ctx, Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // it is gone, or another one by now
		return true, nil
	}
	return true, err
}

// May tells whether the access allows all of the verbs on the Secret of a namespace, there or not.
func May(ctx context.Context, config *rest.Config, namespace string, verbs ...string) (bool, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return false, fmt.Errorf("client: %w", err)
	}
	for _, verb := range verbs {
		about := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Version: "v1", Resource: "secrets", Name: Name}
		if verb == "create" { // which is not limited to a name
			about.Name = ""
		}
		review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
			&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: about}}, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		if !review.Status.Allowed {
			return false, nil
		}
	}
	return true, nil
}
