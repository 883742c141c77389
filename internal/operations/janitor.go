package operations

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubefoundry/kubefoundry/api"
)

// What is kept of operations that are over.
const (
	keepAtMost = 50
	keepFor    = 7 * 24 * time.Hour
)

// sign is a sign of life, and when this process first saw it: clocks of others are not compared.
type sign struct {
	beat string
	seen time.Time
}

// Run looks after operations until ctx ends: those whose process is gone are interrupted, and those that are long over are
// forgotten.
func (r *Runner) Run(ctx context.Context) error {
	signs := map[types.UID]sign{}
	failing := false
	ticker := time.NewTicker(r.lease / 3)
	defer ticker.Stop()
	for {
		err := r.tidy(ctx, signs)
		if err != nil && ctx.Err() == nil && !failing {
			r.log.Warn("operations cannot be looked after", zap.Error(err))
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (r *Runner) tidy(ctx context.Context, signs map[types.UID]sign) error {
	ctx, cancel := context.WithTimeout(ctx, r.lease)
	defer cancel()
	all, err := r.list(ctx, Label)
	if err != nil {
		return err
	}
	seen := map[types.UID]bool{}
	var over []record
	for _, one := range all {
		if Over(one.op) {
			over = append(over, one)
			continue
		}
		uid, beat := one.object.UID, one.object.Data[dataBeat]
		seen[uid] = true
		if s, ok := signs[uid]; !ok || s.beat != beat {
			signs[uid] = sign{beat, time.Now()}
			continue
		}
		if time.Since(signs[uid].seen) > r.lease {
			r.interrupt(ctx, one)
		}
	}
	for uid := range signs {
		if !seen[uid] {
			delete(signs, uid)
		}
	}
	r.forget(ctx, over)
	return nil
}

// interrupt says that nobody runs an operation any more. The API server refuses it where that is not so.
func (r *Runner) interrupt(ctx context.Context, one record) {
	op, at := one.op, "it had not begun"
	op.Phase, op.FinishedAt = api.OperationPhaseInterrupted, now()
	for i := range op.Steps {
		if op.Steps[i].Phase == api.OperationPhaseRunning {
			op.Steps[i].Phase, op.Steps[i].FinishedAt = op.Phase, op.FinishedAt
			at = "it was at “" + op.Steps[i].Name + "”"
		}
	}
	facts := ""
	if r.facts != nil {
		facts = r.facts(ctx, op)
	}
	if facts != "" {
		facts = " " + facts
	}
	op.Message = cut("Interrupted: the server that ran it is gone, and " + at + "." + facts + " Start it again: it goes on from what is there")
	object := one.object.DeepCopy()
	write(object, op)
	_, err := r.objects().Update(ctx, object, metav1.UpdateOptions{})
	if err == nil {
		r.log.Warn("operation interrupted", zap.String("operation", op.Id), zap.String("message", op.Message))
	}
}

// forget drops the oldest. The last of a target stays for its number.
func (r *Runner) forget(ctx context.Context, over []record) {
	slices.SortFunc(over, func(a, b record) int { return b.op.FinishedAt.Compare(a.op.FinishedAt) })
	latest := map[string]int{}
	target := func(one record) string { return one.op.Namespace + "/" + one.object.Labels[labelTarget] }
	for _, one := range over {
		latest[target(one)] = max(latest[target(one)], one.number)
	}
	for i, one := range over {
		old := time.Since(one.op.FinishedAt) > keepFor
		if !old && (i < keepAtMost || one.number == latest[target(one)] && i < 2*keepAtMost) {
			continue
		}
		version := one.object.ResourceVersion
		err := r.objects().Delete(ctx, one.object.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &one.object.UID, ResourceVersion: &version}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			r.log.Warn("operation cannot be forgotten", zap.String("operation", one.op.Id), zap.Error(err))
			return
		}
	}
}
