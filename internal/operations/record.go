package operations

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// Label is on every ConfigMap that is an operation. Its value is the part of the id before the first slash.
const Label = "kubefoundry.io/operation"

// labelTarget is the target, as it stands in the name.
const labelTarget = "kubefoundry.io/operation-target"

// Keys of the ConfigMap's data.
const (
	dataDocument = "operation.json"
	dataBeat     = "heartbeat" // changes as long as the runner lives
	dataRunner   = "runner"
	dataCancel   = "cancel" // who asked for its end
)

// Parts of ids.
const (
	PartInstall = "install"
	PartBuild   = "build"
)

// record is an operation with the ConfigMap that holds it.
type record struct {
	op     api.Operation
	number int
	object *corev1.ConfigMap
}

// Decode reads an operation from its ConfigMap.
func Decode(object *corev1.ConfigMap) (api.Operation, bool) {
	r, err := read(object)
	return r.op, err == nil
}

// Encode is the inverse of Decode, for tests.
func Encode(namespace string, op api.Operation) *corev1.ConfigMap {
	part, target, number := splitID(op.Id)
	object := newObject(namespace, part, op.Namespace, target, number)
	write(object, op)
	return object
}

func read(object *corev1.ConfigMap) (record, error) {
	r := record{object: object}
	if err := json.Unmarshal([]byte(object.Data[dataDocument]), &r.op); err != nil {
		return r, fmt.Errorf("operation %s: %w", object.Name, err)
	}
	part, target, number := splitID(r.op.Id)
	if objectName(part, r.op.Namespace, target, number) != object.Name {
		return r, fmt.Errorf("operation %s: its document says %q", object.Name, r.op.Id)
	}
	r.number = number
	return r, nil
}

func write(object *corev1.ConfigMap, op api.Operation) {
	document, err := json.Marshal(op)
	if err != nil { // what a task gave as its result is no JSON
		op.Result = nil
		document, _ = json.Marshal(op)
	}
	if object.Data == nil {
		object.Data = map[string]string{}
	}
	object.Data[dataDocument] = string(document)
}

func newObject(namespace, part, of, target string, number int) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: objectName(part, of, target, number),
		Labels: map[string]string{
			Label: part, labelTarget: target,
			"app.kubernetes.io/name": "kubefoundry", "app.kubernetes.io/managed-by": "kubefoundry",
		},
	}}
}

// objectName has dots between its parts, which none of them can contain.
func objectName(part, namespace, target string, number int) string {
	if namespace != "" {
		part += "." + namespace
	}
	return "operation." + part + "." + target + "." + strconv.Itoa(number)
}

// ID names an operation.
func id(part, namespace, target string, number int) string {
	if namespace != "" {
		part += "/" + namespace
	}
	return part + "/" + target + "-" + strconv.Itoa(number)
}

// splitID is the inverse of id, but for the namespace.
func splitID(id string) (part, target string, number int) {
	part, _, _ = strings.Cut(id, "/")
	name := id[strings.LastIndexByte(id, '/')+1:]
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return part, name, 0
	}
	number, _ = strconv.Atoi(name[at+1:])
	return part, name[:at], number
}

// ObjectName is the name of the ConfigMap that an operation of this id has.
func ObjectName(id string) string {
	part, target, number := splitID(id)
	namespace := ""
	if parts := strings.Split(id, "/"); len(parts) == 3 {
		namespace = parts[1]
	}
	return objectName(part, namespace, target, number)
}

var plainTarget = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)

// slug makes a part of a name of any text: itself, where it can be.
func slug(target string) string {
	if plainTarget.MatchString(target) {
		return target
	}
	var b strings.Builder
	for _, c := range strings.ToLower(target) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && b.String()[b.Len()-1] != '-':
			b.WriteByte('-')
		}
		if b.Len() >= 38 {
			break
		}
	}
	sum := sha256.Sum256([]byte(target))
	return strings.Trim("x"+strings.TrimSuffix(b.String(), "-"), "-") + "-" + hex.EncodeToString(sum[:4])
}

// Over tells whether an operation has ended.
func Over(op api.Operation) bool {
	return op.Phase != api.OperationPhasePending && op.Phase != api.OperationPhaseRunning
}

// Bounds of what is kept, for a ConfigMap holds 1 MiB.
const (
	maxMessage = 2 << 10
	maxSteps   = 64
	maxResult  = 128 << 10
)

func cut(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "…"
}
