package serving

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Keys of the Secret.
const (
	keyAuthority        = "ca.crt"
	keyAuthorityPrivate = "ca.key"
	keyServing          = corev1.TLSCertKey
	keyServingPrivate   = corev1.TLSPrivateKeyKey
)

// attempts is how often another replica may be faster before this one waits for the next look. Each time lost means that
// somebody else has won, and replicas are few.
const attempts = 5

// errDue says that a certificate is good and has to be renewed.
var errDue = errors.New("due for renewal")

var errContended = errors.New("others keep changing it; look for what writes to it besides this server")

// vault is the Secret with the authority and the serving certificate.
type vault struct {
	secrets                    typedcorev1.SecretInterface
	namespace, name            string
	subject                    subject
	authorityLife, servingLife time.Duration
	log                        *zap.Logger
}

func newVault(o Options) *vault {
	return &vault{
		secrets: o.Client.CoreV1().Secrets(o.Namespace), namespace: o.Namespace, name: o.Service + "-serving-certificate",
		subject:       subjectOf(o.Namespace, o.Service),
		authorityLife: cmp.Or(o.authorityLife, authorityLife), servingLife: cmp.Or(o.servingLife, servingLife),
		log: o.Log,
	}
}

func (v *vault) String() string { return v.namespace + "/" + v.name }

// settle returns what the Secret holds, after it has been made good if need be.
func (v *vault) settle(ctx context.Context) (*served, error) {
	for range attempts {
		secret, err := v.secrets.Get(ctx, v.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			secret = v.blank()
		case err != nil:
			return nil, v.failure("get", err)
		}
		found, err := v.read(secret)
		if err == nil {
			return found, nil
		}
		made, err := v.renew(secret, err)
		if err != nil {
			return nil, v.failure("renew", err)
		}
		written, err := v.write(ctx, made)
		switch {
		case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err), apierrors.IsNotFound(err):
			// Another replica was faster: take what it made. A namespace that is missing is NotFound too, each time.
			if apierrors.IsNotFound(err) && secret.ResourceVersion == "" {
				return nil, v.failure("create", err)
			}
			continue
		case err != nil:
			return nil, v.failure("write", err)
		}
		return v.read(written)
	}
	return nil, v.failure("write", errContended)
}

// blank is the Secret before anything is in it.
func (v *vault) blank() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: v.name, Namespace: v.namespace,
			Labels: map[string]string{"app.kubernetes.io/name": "kubefoundry", "app.kubernetes.io/managed-by": "kubefoundry"},
		},
		Type: corev1.SecretTypeTLS,
	}
}

// read returns what a Secret holds, or what is wrong with it.
func (v *vault) read(secret *corev1.Secret) (*served, error) {
	now := time.Now()
	ca, err := v.authority(secret, now)
	if err != nil {
		return nil, err
	}
	pair := pemPair{cert: secret.Data[keyServing], key: secret.Data[keyServingPrivate]}
	certificate, err := ca.check(pair, v.subject, now, v.servingLife/3)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyServing, err)
	}
	return &served{certificate: certificate, ca: ca.cert, pem: bytes.Join([][]byte{ca.cert, pair.cert, pair.key}, nil)}, nil
}

// authority returns the authority of a Secret if it can sign one more serving certificate.
func (v *vault) authority(secret *corev1.Secret, now time.Time) (*authority, error) {
	ca, err := parseAuthority(pemPair{cert: secret.Data[keyAuthority], key: secret.Data[keyAuthorityPrivate]}, now, v.servingLife)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyAuthority, err)
	}
	return ca, nil
}

// renew returns a copy of the Secret with a new serving certificate, of the same authority if that is good.
func (v *vault) renew(secret *corev1.Secret, because error) (*corev1.Secret, error) {
	now := time.Now()
	ca, err := v.authority(secret, now)
	kept := err == nil
	if !kept {
		if ca, err = newAuthority("kubefoundry "+v.subject.name, now, v.authorityLife); err != nil {
			return nil, err
		}
	}
	pair, err := ca.issue(v.subject, now, v.servingLife)
	if err != nil {
		return nil, err
	}
	made := secret.DeepCopy()
	if made.Data == nil {
		made.Data = map[string][]byte{}
	}
	maps.Copy(made.Data, map[string][]byte{
		keyAuthority: ca.cert, keyAuthorityPrivate: ca.pemPair.key,
		keyServing: pair.cert, keyServingPrivate: pair.key,
	})
	switch {
	case secret.ResourceVersion == "":
		v.log.Info("making a serving certificate and its authority", zap.Stringer("secret", v))
	case errors.Is(because, errDue):
		v.log.Info("renewing the serving certificate", zap.Stringer("secret", v), zap.NamedError("reason", because))
	default:
		v.log.Warn("the Secret of the serving certificate is of no use; repairing it", zap.Stringer("secret", v),
			zap.NamedError("reason", because), zap.Bool("authority kept", kept))
	}
	return made, nil
}

// write creates the Secret, or updates the version of it that was read.
func (v *vault) write(ctx context.Context, secret *corev1.Secret) (*corev1.Secret, error) {
	if secret.ResourceVersion == "" {
		return v.secrets.Create(ctx, secret, metav1.CreateOptions{})
	}
	return v.secrets.Update(ctx, secret, metav1.UpdateOptions{})
}

func (v *vault) failure(doing string, err error) error {
	todo := ""
	switch {
	case apierrors.IsForbidden(err):
		todo = "; allow this server's ServiceAccount to create secrets in the namespace, and to get and update this one"
	case apierrors.IsInvalid(err):
		todo = "; delete the Secret, it is made anew"
	}
	return fmt.Errorf("serving certificate: secret %s: %s: %w%s", v, doing, err, todo)
}
