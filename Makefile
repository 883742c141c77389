SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Once for every go command: the build cache keeps the results of different flags apart.
export GOFLAGS := $(sort $(GOFLAGS) -trimpath -buildvcs=false)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# The commit's time and not today's, so that the same commit gives the same binary.
BUILT ?= $(shell git log -1 --format=%cI 2>/dev/null)

FUZZTIME ?= 20s
BENCH ?= list fanout freshness lifecycle scale

lint := go tool -modfile=$(CURDIR)/tools/lint/go.mod golangci-lint run --config $(CURDIR)/.golangci.yml
# Packages with tests. Those without would be compiled all the same, and one of the devcluster's is all of Kubernetes.
tested := go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...

helm := go tool -modfile=$(CURDIR)/tools/helm/go.mod helm
# The Kubernetes that the manifests are rendered for: without one it is whichever Helm was compiled with.
KUBERNETES := v1.37.0
IMAGE ?= kubefoundry/kubefoundry:$(VERSION)

.PHONY: help demo run build image test test-unit lint generate verify bench fuzz clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## A cluster with GPUs and deployments on this machine, and KubeFoundry on it; no container runtime needed
	scripts/demo

run: build ## KubeFoundry on the cluster of your kubeconfig; ARGS are its flags
	bin/kubefoundry serve $(ARGS)

build: ## The binary, bin/kubefoundry
	go build -ldflags '-X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.buildTime=$(BUILT)' -o bin/kubefoundry ./cmd/kubefoundry

image: ## The container image, IMAGE; needs docker
	docker build --file deploy/Dockerfile --tag '$(IMAGE)' \
		--build-arg VERSION='$(VERSION)' --build-arg COMMIT='$(COMMIT)' --build-arg BUILT='$(BUILT)' .

test: ## All tests, with the race detector; those that need a cluster start one
	go run ./internal/devcluster/run path >/dev/null # its first build takes minutes, which no test's timeout should count
	go test -race -timeout 30m ./...
	cd devcluster && go test -race -timeout 30m $$($(tested))

test-unit: ## The tests that need no cluster
	go test -race -short ./...

lint: ## golangci-lint, with the layers of the design
	$(lint) ./...
	cd devcluster && $(lint) ./...
	$(helm) lint --strict --quiet deploy/chart

generate: ## Wire types and routes from api/openapi.yaml, plain manifests from the Helm chart
	go generate ./...
	{ echo '# Rendered from the chart beside it by `make generate`.'; cat deploy/namespace.yaml; \
		$(helm) template kubefoundry deploy/chart --namespace kubefoundry-system --kube-version $(KUBERNETES); \
	} > deploy/kubefoundry.yaml.tmp
	mv deploy/kubefoundry.yaml.tmp deploy/kubefoundry.yaml

verify: generate ## Generate, and fail if anything changed
	git diff --exit-code

bench: build ## Each benchmark against its baseline; BENCH names some, ARGS=-quick takes a tenth
	for bench in $(BENCH); do go run ./bench $$bench $(ARGS); done

fuzz: ## Every fuzz target for FUZZTIME
	for package in $$($(tested)); do \
		for target in $$(go test -run '^$$' -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

clean: ## Remove what was built here
	rm -rf bin dist
