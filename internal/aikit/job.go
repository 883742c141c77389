package aikit

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The images that builds run on, each in one version.
const (
	aikitVersion  = "v0.21.0"
	ImageBuildKit = "docker.io/moby/buildkit:v0.29.0-rootless"
	ImageFrontend = "ghcr.io/kaito-project/aikit/aikit:" + aikitVersion
	// aikitFile is the empty description that the build's arguments fill in.
	aikitFile = "https://raw.githubusercontent.com/kaito-project/aikit/" + aikitVersion + "/models/aikitfile.yaml"
)

const (
	// BuilderName is what builds are called where people ask for a builder.
	BuilderName = "kubefoundry-builder"
	// deadline is how long a Job may take, in seconds: models are large.
	deadline = 2 * 60 * 60
	// kept is how long a Job that has ended stays, in seconds.
	kept       = 60 * 60
	container  = "build"
	tokenName  = "hf-token-secret"
	tokenKey   = "HF_TOKEN"
	labelBuild = "kubefoundry.io/build"
)

// jobName follows from what is built and where to, so that there is one Job for it.
func (s Spec) jobName(push string) string {
	sum := sha256.Sum256([]byte(push + "\n" + s.source()))
	name := strings.Trim(notInNames.ReplaceAllString(s.Name, "-"), "-")
	name = strings.Trim(name[:min(len(name), 40)], "-")
	return "build-" + name + "-" + hex.EncodeToString(sum[:4])
}

// job builds an image. Rootless BuildKit makes user namespaces and mounts in them, which the usual profiles of seccomp and AppArmor
// forbid; that is all it needs: it has no privileges, no capabilities but those to begin a user namespace, and nothing of the node.
func (s Spec) job(namespace, push string) *batchv1.Job {
	labels := map[string]string{"app.kubernetes.io/name": BuilderName, "app.kubernetes.io/managed-by": "kubefoundry", labelBuild: s.jobName(push)}
	no, yes, user := false, true, int64(1000)
	one, none, ttl, limit := int32(1), int32(0), int32(kept), int64(deadline)
	optional := true
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: s.jobName(push), Labels: labels,
			Annotations: map[string]string{"kubefoundry.io/image": s.Ref(), "kubefoundry.io/model": s.source()},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit: &none, Completions: &one, Parallelism: &one, TTLSecondsAfterFinished: &ttl, ActiveDeadlineSeconds: &limit,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
					NodeSelector:    map[string]string{"kubernetes.io/os": "linux"},
					SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user, FSGroup: &user},
					Containers: []corev1.Container{{
						Name: container, Image: ImageBuildKit,
						Command: []string{"buildctl-daemonless.sh"},
						Args: []string{
							"build", "--progress=plain", "--frontend=gateway.v0", "--opt=source=" + ImageFrontend, "--opt=context=" + aikitFile,
							"--opt=build-arg:model=" + s.source(), "--secret=id=hf-token,env=" + tokenKey,
							"--output=type=image,name=" + push + ",push=true,registry.insecure=true",
						},
						Env: []corev1.EnvVar{
							{Name: "BUILDKITD_FLAGS", Value: "--oci-worker-no-process-sandbox"},
							{Name: tokenKey, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
								LocalObjectReference: corev1.LocalObjectReference{Name: tokenName}, Key: tokenKey, Optional: &optional,
							}}},
						},
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("2Gi")},
							Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("8Gi")},
						},
						SecurityContext: &corev1.SecurityContext{
							SeccompProfile:  &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined},
							AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined},
							Privileged:      &no,
						},
						VolumeMounts: []corev1.VolumeMount{{Name: "buildkit", MountPath: "/home/user/.local/share/buildkit"}},
					}},
					Volumes: []corev1.Volume{{Name: "buildkit", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
				},
			},
		},
	}
}
