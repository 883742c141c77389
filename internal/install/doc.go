// Package install installs the runtimes and NVIDIA's GPU operator from their Helm charts, upgrades them and takes them away,
// with Helm's own library: no program is run, and nothing is written to a disk.
//
// Its one law: whatever happens, Helm's records and the cluster say the same, and the next attempt goes on from there. So
// everything is downloaded before anything is changed; a release that was left half done is undone, or rolled back, before it
// is done again; and what is not known to be ours stays.
//
// # What is never deleted
//
// CustomResourceDefinitions, but by RemoveCRDs, which demands to be told what goes with them. A namespace, unless this
// package made it and nothing else is in it, for as far as the caller may see. What others have installed.
//
// # In whose name
//
// Everything is done with the rest.Config that is given, which is the caller's. The package keeps none.
package install
