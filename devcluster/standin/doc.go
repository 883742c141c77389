// Package standin stands in for the operators of KAITO, KubeRay and Dynamo in a
// development cluster. It turns their custom resources into pods and Services,
// and the pods back into the status that those operators would write.
//
// Its one law: what it writes is what the real operator writes. Label names,
// status fields, condition types and reasons, finalizers and the order of events
// are theirs; only the texts of messages are ours. Where a real operator says
// nothing about a fault (KAITO does not tell a crash loop from a slow start), the
// stand-in says nothing either, so that a reader has to look where it would have
// to look in a real cluster.
//
// It differs in three ways, all documented where they happen. Pods belong to the
// custom resource directly, without a StatefulSet or Deployment between. Which
// pod does well is decided by annotations (see [Behaviour]) that the simulated
// nodes act on. And the operators live in this process; the Deployments that
// bear their names only stand for them.
//
// Everything runs on the shared informers of one process: a reconcile reads no
// list from the API server. [Run] is the only entry, called once per cluster.
package standin
