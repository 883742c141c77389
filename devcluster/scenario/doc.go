// Package scenario fills a development cluster with model deployments, and keeps
// changing them.
//
// Its one law: what it creates, a user of the product could have created through
// the API, field for field and label for label; that they then crash, stay slow
// or find no GPU is said in annotations only. The same name, number and seed give
// the same objects and the same order of changes in every cluster.
//
// [Start] may be called again on the same cluster: it puts the objects back to
// where the scenario begins.
package scenario
