package runtimes

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubefoundry/kubefoundry/api"
)

// Check collects what is wrong with a configuration: everything, not the first thing.
type Check struct {
	Details []api.ErrorDetail
}

// What a configuration may hold at most.
const (
	maxReplicas = 1000
	maxGPUs     = 1024
	maxText     = 2048 // bytes of a model's id, an argument's name and the like
	maxValue    = 64 << 10
	maxEntries  = 256
)

// Refuse notes what is wrong with a field.
func (k *Check) Refuse(field, format string, args ...any) {
	detail := api.ErrorDetail{Field: field, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(k.Details, detail) {
		k.Details = append(k.Details, detail)
	}
}

// Require notes that a field is missing.
func (k *Check) Require(field, value, why string) {
	if value == "" {
		k.Refuse(field, "must be given%s", why)
	}
}

// OneOf holds a value that is given against those that there are.
func (k *Check) OneOf(field, value string, values ...string) {
	if value != "" && !slices.Contains(values, value) {
		k.Refuse(field, "must be one of %s", strings.Join(values, ", "))
	}
}

// Text holds what becomes an argument or a variable against what a process can be given.
func (k *Check) Text(field, value string, limit int) {
	switch {
	case len(value) > limit:
		k.Refuse(field, "is longer than %d bytes", limit)
	case !utf8.ValidString(value):
		k.Refuse(field, "must be UTF-8")
	case strings.ContainsRune(value, 0):
		k.Refuse(field, "must not contain a zero byte")
	}
}

// Range holds a number against its limits.
func (k *Check) Range(field string, n *int, low, high int) {
	if n != nil && (*n < low || *n > high) {
		k.Refuse(field, "must be a whole number from %d to %d", low, high)
	}
}

// Quantity holds a value that is given against Kubernetes' quantities.
func (k *Check) Quantity(field, value string) {
	if value == "" {
		return
	}
	q, err := resource.ParseQuantity(value)
	switch {
	case err != nil || len(value) > 64:
		k.Refuse(field, "must be a quantity such as 16Gi or 500m")
	case q.Sign() <= 0:
		k.Refuse(field, "must be more than nothing")
	}
}

// An image: a registry with a port perhaps, names, a tag, a digest.
var image = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$`)

// Image holds a value that is given against references to images.
func (k *Check) Image(field, value string) {
	if value != "" && (len(value) > 512 || !image.MatchString(value)) {
		k.Refuse(field, "must be an image such as registry.example.com/name:1.0")
	}
}

func (k *Check) subdomain(field, value string) {
	if value != "" && len(validation.IsDNS1123Subdomain(value)) > 0 {
		k.Refuse(field, "must be a name: lower case letters, digits, dashes and dots, at most 253")
	}
}

// Common checks what means the same for every runtime. limit is how long a name may be, roles are those that the runtime has.
func (k *Check) Common(c *api.DeploymentConfig, limit int, roles ...string) {
	k.name(c.Name, limit)
	switch {
	case c.Namespace == "":
		k.Refuse("namespace", "must be given")
	case len(validation.IsDNS1123Label(c.Namespace)) > 0:
		k.Refuse("namespace", "must be lower case letters, digits and dashes, beginning and ending with a letter or a digit, at most 63")
	}
	k.Text("modelId", c.ModelId, maxText)
	k.Text("servedModelName", c.ServedModelName, maxText)
	k.OneOf("mode", c.Mode, string(api.ModeAggregated), string(api.ModeDisaggregated))
	k.Image("image", c.Image)
	for field, n := range map[string]*int{"replicas": c.Replicas, "prefillReplicas": c.PrefillReplicas, "decodeReplicas": c.DecodeReplicas} {
		k.Range(field, n, 0, maxReplicas)
	}
	k.Range("prefillGpus", c.PrefillGpus, 0, maxGPUs)
	k.Range("decodeGpus", c.DecodeGpus, 0, maxGPUs)
	for field, n := range map[string]int{
		"contextLength": c.ContextLength, "maxModelLen": c.MaxModelLen, "tensorParallelSize": c.TensorParallelSize,
		"pipelineParallelSize": c.PipelineParallelSize, "maxNumSeqs": c.MaxNumSeqs,
	} {
		if n < 0 || n > 1<<30 {
			k.Refuse(field, "must be a whole number of at least 1")
		}
	}
	if c.Resources != nil {
		k.resources("resources", c.Resources)
	}
	for _, role := range slices.Sorted(maps.Keys(c.RoleResources)) {
		if !slices.Contains(roles, role) {
			k.Refuse("roleResources."+role, "is no role here; there are %s", strings.Join(roles, ", "))
		}
		r := c.RoleResources[role]
		k.resources("roleResources."+role, &r)
	}
	k.subdomain("hfTokenSecret", c.HfTokenSecret)
	k.arguments(c)
	k.env(c.Env)
	k.metadata(c)
	k.scheduling(c)
	k.storage(c.Storage)
	k.Details = append(k.Details, checkOverrides(c.Overrides)...)
	slices.SortStableFunc(k.Details, func(a, b api.ErrorDetail) int { return strings.Compare(a.Field, b.Field) })
}

func (k *Check) name(name string, limit int) {
	switch {
	case name == "":
		k.Refuse("name", "must be given")
	case len(name) > limit:
		k.Refuse("name", "must have at most %d characters: what is made of it has longer names", limit)
	case len(validation.IsDNS1035Label(name)) > 0:
		k.Refuse("name", "must be lower case letters, digits and dashes, beginning with a letter and ending with a letter or a digit")
	}
}

func (k *Check) resources(field string, r *api.ConfigResources) {
	k.Range(field+".gpu", r.Gpu, 0, maxGPUs)
	k.Quantity(field+".cpu", r.Cpu)
	k.Quantity(field+".memory", r.Memory)
}

// reserved are flags that KubeFoundry sets from fields of their own: two values would contradict each other.
var reserved = map[string]string{
	"model": "modelId", "model-path": "modelId", "served-model-name": "servedModelName", "host": "", "port": "",
}

var argumentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func (k *Check) arguments(c *api.DeploymentConfig) {
	refuse := func(field, flag string) {
		if instead, found := reserved[flagName(flag)]; found && instead != "" {
			k.Refuse(field, "may not be given here; %s is for that", instead)
		} else if found {
			k.Refuse(field, "may not be changed: clients would not find the model")
		}
	}
	k.limited("engineArgs", len(c.EngineArgs))
	for _, name := range slices.Sorted(maps.Keys(c.EngineArgs)) {
		field := "engineArgs." + name
		if !argumentName.MatchString(name) {
			k.Refuse(field, "must be named as the engine names it, without dashes before it")
		}
		refuse(field, name)
		k.Text(field, text(c.EngineArgs[name]), maxValue)
	}
	k.limited("extraArgs", len(c.ExtraArgs))
	for i, arg := range c.ExtraArgs {
		field := fmt.Sprintf("extraArgs.%d", i)
		k.Text(field, arg, maxValue)
		if strings.HasPrefix(arg, "-") {
			name, _, _ := strings.Cut(arg, "=")
			refuse(field, name)
		}
	}
}

func (k *Check) limited(field string, n int) {
	if n > maxEntries {
		k.Refuse(field, "must have at most %d entries", maxEntries)
	}
}

func (k *Check) env(env []api.ConfigEnv) {
	k.limited("env", len(env))
	seen := map[string]bool{}
	for i, e := range env {
		field := fmt.Sprintf("env.%d", i)
		switch {
		case e.Name == "":
			k.Refuse(field+".name", "must be given")
		case len(validation.IsEnvVarName(e.Name)) > 0 || len(e.Name) > 253:
			k.Refuse(field+".name", "must be letters, digits, dots, dashes and underscores, not beginning with a digit")
		case seen[e.Name]:
			k.Refuse(field+".name", "is there twice")
		}
		seen[e.Name] = true
		if e.Value != nil {
			k.Text(field+".value", *e.Value, maxValue)
		}
		switch {
		case e.Value != nil && e.SecretRef != nil:
			k.Refuse(field, "must have either a value or a secretRef")
		case e.SecretRef != nil:
			k.Require(field+".secretRef.name", e.SecretRef.Name, "")
			k.subdomain(field+".secretRef.name", e.SecretRef.Name)
			if len(validation.IsConfigMapKey(e.SecretRef.Key)) > 0 {
				k.Refuse(field+".secretRef.key", "must be a key of a Secret")
			}
		}
	}
}

func (k *Check) metadata(c *api.DeploymentConfig) {
	k.limited("labels", len(c.Labels))
	k.Labels("labels", c.Labels)
	k.limited("annotations", len(c.Annotations))
	size := 0
	for _, key := range slices.Sorted(maps.Keys(c.Annotations)) {
		field := "annotations." + key
		k.key(field, key)
		k.own(field, key)
		k.Text(field, c.Annotations[key], maxValue)
		size += len(key) + len(c.Annotations[key])
	}
	if size > 128<<10 {
		k.Refuse("annotations", "must have at most 128 KiB together")
	}
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		k.own("labels."+key, key)
	}
}

func (k *Check) own(field, key string) {
	if isOwnLabel(key) {
		k.Refuse(field, "is KubeFoundry's own")
	}
}

func (k *Check) key(field, key string) {
	if len(validation.IsQualifiedName(key)) > 0 {
		k.Refuse(field, "must be named like example.com/name: letters, digits, dashes, dots and underscores, at most 63 after the slash")
	}
}

// Labels holds labels against what Kubernetes takes.
func (k *Check) Labels(field string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		k.key(field+"."+key, key)
		if len(validation.IsValidLabelValue(labels[key])) > 0 {
			k.Refuse(field+"."+key, "must have a value of letters, digits, dashes, dots and underscores, at most 63")
		}
	}
}

func (k *Check) scheduling(c *api.DeploymentConfig) {
	k.limited("nodeSelector", len(c.NodeSelector))
	k.Labels("nodeSelector", c.NodeSelector)
	k.limited("tolerations", len(c.Tolerations))
	for i, t := range c.Tolerations {
		field := fmt.Sprintf("tolerations.%d", i)
		k.OneOf(field+".operator", t.Operator, "Exists", "Equal")
		k.OneOf(field+".effect", t.Effect, "NoSchedule", "PreferNoSchedule", "NoExecute")
		if t.Key != "" {
			k.key(field+".key", t.Key)
		} else if t.Operator != "Exists" {
			k.Refuse(field+".key", "must be given, unless the operator is Exists")
		}
		if t.Operator == "Exists" && t.Value != "" {
			k.Refuse(field+".value", "must be left out with the operator Exists")
		} else if len(validation.IsValidLabelValue(t.Value)) > 0 {
			k.Refuse(field+".value", "must be letters, digits, dashes, dots and underscores, at most 63")
		}
		if t.TolerationSeconds != nil && t.Effect != "NoExecute" {
			k.Refuse(field+".tolerationSeconds", "is only for the effect NoExecute")
		}
	}
	k.limited("imagePullSecrets", len(c.ImagePullSecrets))
	for i, name := range c.ImagePullSecrets {
		k.Require(fmt.Sprintf("imagePullSecrets.%d", i), name, "")
		k.subdomain(fmt.Sprintf("imagePullSecrets.%d", i), name)
	}
}

func (k *Check) storage(s *api.ConfigStorage) {
	if s == nil {
		return
	}
	switch {
	case s.Size == "" && s.Claim == "":
		k.Refuse("storage", "must have a size, for a claim to be made, or the name of a claim that is there")
	case s.Size != "" && s.Claim != "":
		k.Refuse("storage", "must have either a size or a claim")
	case s.Claim != "" && s.StorageClass != "":
		k.Refuse("storage.storageClass", "is only for a claim to be made")
	case s.Claim != "" && s.AccessMode != "":
		k.Refuse("storage.accessMode", "is only for a claim to be made")
	}
	k.Quantity("storage.size", s.Size)
	k.subdomain("storage.claim", s.Claim)
	k.subdomain("storage.storageClass", s.StorageClass)
	k.OneOf("storage.accessMode", s.AccessMode, readWriteOnce, readWriteMany)
	if p := s.MountPath; p != "" && (!path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.ContainsAny(p, ":\x00") || len(p) > 512) {
		k.Refuse("storage.mountPath", "must be an absolute path such as /models, without dots in between and without a colon")
	}
}

// Disaggregated tells which of two modes is meant.
func Disaggregated(c *api.DeploymentConfig) bool { return c.Mode == string(api.ModeDisaggregated) }
