// Package kaito reads and builds KAITO's Workspaces, v1beta1 and v1alpha1: presets, AIKit images that run llama.cpp, and pod templates
// that run vLLM.
//
// Its one law is that of package runtimes: a pure function of the object.
package kaito
