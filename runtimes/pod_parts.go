package runtimes

import (
	"maps"
	"slices"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	gpuResource = "nvidia.com/gpu"
	// TokenVariable is what Hugging Face's libraries read, and the key of the Secret.
	TokenVariable = "HF_TOKEN"
	cacheVariable = "HF_HOME"
	// DefaultMountPath is where stored models are.
	DefaultMountPath = "/models"
	volumeName       = "models"
)

// ContainerEnv is the environment of a container that loads the model: the user's variables, the token where one is wanted,
// and where downloads go where they are kept.
func ContainerEnv(c *api.DeploymentConfig) []any {
	list, given := []any{}, map[string]bool{}
	for _, e := range c.Env {
		given[e.Name] = true
		variable := map[string]any{"name": e.Name}
		if e.SecretRef != nil {
			variable["valueFrom"] = secretKey(e.SecretRef.Name, e.SecretRef.Key)
		} else if e.Value != nil {
			variable["value"] = Literal(*e.Value)
		}
		list = append(list, variable)
	}
	if !given[TokenVariable] {
		list = append(list, TokenEnv(c)...)
	}
	if c.Storage != nil && !given[cacheVariable] {
		list = append(list, map[string]any{"name": cacheVariable, "value": Literal(MountPath(c))})
	}
	return list
}

// TokenEnv is the variable with the Hugging Face token, nothing where none is wanted.
func TokenEnv(c *api.DeploymentConfig) []any {
	if c.HfTokenSecret == "" {
		return []any{}
	}
	return []any{map[string]any{"name": TokenVariable, "valueFrom": secretKey(c.HfTokenSecret, TokenVariable)}}
}

func secretKey(name, key string) map[string]any {
	return map[string]any{"secretKeyRef": map[string]any{"name": name, "key": key}}
}

// Tolerations are the user's, and that of GPU nodes where GPUs are asked for.
func Tolerations(c *api.DeploymentConfig, gpus int) []any {
	list, tolerated := []any{}, gpus == 0
	for _, t := range c.Tolerations {
		tolerated = tolerated || t.Key == gpuResource
		toleration := map[string]any{}
		for name, value := range map[string]string{"key": t.Key, "operator": t.Operator, "value": t.Value, "effect": t.Effect} {
			if value != "" {
				toleration[name] = value
			}
		}
		if t.TolerationSeconds != nil {
			toleration["tolerationSeconds"] = *t.TolerationSeconds
		}
		list = append(list, toleration)
	}
	if !tolerated {
		list = append(list, map[string]any{"key": gpuResource, "operator": "Exists", "effect": "NoSchedule"})
	}
	return list
}

// PodSpec fills what a pod of the model has beside its container.
func PodSpec(c *api.DeploymentConfig, spec map[string]any, gpus int) {
	if len(c.NodeSelector) > 0 {
		spec["nodeSelector"] = StringMap(c.NodeSelector)
	}
	if list := Tolerations(c, gpus); len(list) > 0 {
		spec["tolerations"] = list
	}
	if len(c.ImagePullSecrets) > 0 {
		secrets := []any{}
		for _, name := range c.ImagePullSecrets {
			secrets = append(secrets, map[string]any{"name": name})
		}
		spec["imagePullSecrets"] = secrets
	}
}

// PodMetadata are the user's labels and annotations, nil where there are none.
func PodMetadata(c *api.DeploymentConfig) map[string]any {
	metadata := map[string]any{}
	if len(c.Labels) > 0 {
		metadata["labels"] = StringMap(c.Labels)
	}
	if len(c.Annotations) > 0 {
		metadata["annotations"] = StringMap(c.Annotations)
	}
	if len(metadata) == 0 {
		return nil
	}
	return metadata
}

// Amounts are what one replica gets.
type Amounts struct {
	GPU         int
	CPU, Memory string
}

// RoleAmounts are those of one role: what is said of it, or else of every replica, or else of GPUs of the role in the old
// way, or else the given default.
func RoleAmounts(c *api.DeploymentConfig, role string, gpus *int, fallback Amounts) Amounts {
	a := fallback
	take := func(r *api.ConfigResources) {
		if r == nil {
			return
		}
		if r.Gpu != nil {
			a.GPU = *r.Gpu
		}
		if r.Cpu != "" {
			a.CPU = r.Cpu
		}
		if r.Memory != "" {
			a.Memory = r.Memory
		}
	}
	take(c.Resources)
	if gpus != nil {
		a.GPU = *gpus
	}
	if r, ok := c.RoleResources[role]; ok {
		take(&r)
	}
	return a
}

// Requests are the amounts as a container asks for them: GPUs are limits too, which they have to be; memory and CPU only
// where limited is set, for a model server that is killed at its limit is of no use.
func (a Amounts) Requests(limited bool) map[string]any {
	requests, limits := map[string]any{}, map[string]any{}
	for name, value := range map[string]string{"cpu": a.CPU, "memory": a.Memory} {
		if value != "" {
			requests[name] = value
			if limited {
				limits[name] = value
			}
		}
	}
	if a.GPU > 0 {
		requests[gpuResource], limits[gpuResource] = int64(a.GPU), int64(a.GPU)
	}
	resources := map[string]any{}
	if len(requests) > 0 {
		resources["requests"] = requests
	}
	if len(limits) > 0 {
		resources["limits"] = limits
	}
	return resources
}

// MountPath is where stored models are, in the container.
func MountPath(c *api.DeploymentConfig) string {
	if c.Storage != nil && c.Storage.MountPath != "" {
		return c.Storage.MountPath
	}
	return DefaultMountPath
}

// ClaimName is the claim that models are stored in: the user's, or one that is made.
func ClaimName(c *api.DeploymentConfig) string {
	if c.Storage.Claim != "" {
		return c.Storage.Claim
	}
	return c.Name + "-models"
}

// Mount adds the storage to a pod's spec and to its container.
func Mount(c *api.DeploymentConfig, spec, container map[string]any) {
	if c.Storage == nil {
		return
	}
	volumes, _ := spec["volumes"].([]any)
	spec["volumes"] = append(volumes, map[string]any{
		"name": volumeName, "persistentVolumeClaim": map[string]any{"claimName": ClaimName(c)},
	})
	mounts, _ := container["volumeMounts"].([]any)
	container["volumeMounts"] = append(mounts, map[string]any{"name": volumeName, "mountPath": MountPath(c)})
}

// AddClaim adds the claim that is to be made, as a companion.
func (m *Manifests) AddClaim(info Info, c *api.DeploymentConfig, replicas int) {
	if c.Storage == nil {
		return
	}
	m.warnOfStorage(c, replicas)
	if c.Storage.Claim != "" {
		return
	}
	claim := NewCompanion(info, c, "v1", "PersistentVolumeClaim", ClaimName(c))
	spec := map[string]any{
		"accessModes": []any{AccessMode(c)},
		"resources":   map[string]any{"requests": map[string]any{"storage": c.Storage.Size}},
	}
	if c.Storage.StorageClass != "" {
		spec["storageClassName"] = c.Storage.StorageClass
	}
	claim.Object["spec"] = spec
	m.Companions = append(m.Companions, claim)
}

func (m *Manifests) warnOfStorage(c *api.DeploymentConfig, replicas int) {
	if replicas > 1 && c.Storage.Claim == "" && AccessMode(c) == readWriteOnce {
		m.Warnings = append(m.Warnings, "storage.accessMode is ReadWriteOnce: its replicas can only run on one node. ReadWriteMany lets them run on several")
	}
}

// WarnOfStorage is for a runtime that makes the claim itself.
func (m *Manifests) WarnOfStorage(c *api.DeploymentConfig, replicas int) {
	if c.Storage != nil {
		m.warnOfStorage(c, replicas)
	}
}

const (
	readWriteOnce = "ReadWriteOnce"
	readWriteMany = "ReadWriteMany"
)

// AccessMode is that of a claim to be made.
func AccessMode(c *api.DeploymentConfig) string {
	if c.Storage.AccessMode != "" {
		return c.Storage.AccessMode
	}
	return readWriteOnce
}

// Unused warns of fields that are given but mean nothing here.
func (m *Manifests) Unused(why string, given map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] {
			m.Warnings = append(m.Warnings, name+" has no effect: "+why)
		}
	}
}

// Or is the number, or the other where there is none.
func Or(n *int, other int) int {
	if n == nil {
		return other
	}
	return *n
}
