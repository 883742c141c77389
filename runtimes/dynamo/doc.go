// Package dynamo reads and builds NVIDIA Dynamo's DynamoGraphDeployments, v1alpha1 with its map of services and v1beta1 with its list
// of components.
//
// Its one law is that of package runtimes: a pure function of the object.
package dynamo
