// Package crds holds the custom resource definitions of the three runtimes in a
// small form of this project's own, and installs them.
//
// Its one law: a field that stands here stands in the published definition of
// the same version too, so that a manifest which passes here is not wrong there.
// The reverse does not hold. These definitions name the fields that manifests
// and operators of this project use and refuse all others under
// fieldValidation=Strict; the published ones know more.
//
// The published files can be installed instead, from a folder; a test holds ours
// against them where KUBEFOUNDRY_CRDS names that folder.
package crds
