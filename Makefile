# `make` alone lists the targets. Everything they need beyond Go, make and git
# comes from Go modules pinned in go.mod files of this repository.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell sed -n 's/^  version: //p' builder-config.yaml)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$(shell git diff --quiet HEAD 2>/dev/null || echo -dirty)
LDFLAGS := -s -w -X github.com/invar-otel/invar/internal/command.commit=$(COMMIT)

# Folders with a go.mod of ours that holds Go code.
MODULES := . internal/tools internal/tools/lint tests distributions/invar

TOOL := go tool -modfile=$(CURDIR)/internal/tools/go.mod
LINT := go tool -modfile=$(CURDIR)/internal/tools/lint/go.mod golangci-lint

FUZZTIME ?= 20s

# The race detector is the one thing here that needs a C compiler. It needs all
# dependencies compiled a second time. Prometheus' build tags leave out the service
# discoveries that no test runs, which are half of that. Tests that want all of
# them have the build constraint !remove_all_sd and run without the race detector.
ifneq ($(shell command -v $$(go env CC) 2>/dev/null),)
RACE     := -race -tags remove_all_sd,enable_consul_sd,enable_kubernetes_sd
RACE_ENV := CGO_ENABLED=1
NO_RACE   = $(shell grep -rl --include='*_test.go' '^//go:build !remove_all_sd' . | xargs -n1 dirname | sort -u)
endif

# Compilers and linkers collect less garbage: a tenth less CPU time. Not exported,
# programs that tests run must not get it.
COMPILE := GOGC=400 GOMEMLIMIT=2GiB

# The linter runs vet on the same packages. Vet in go test would analyse all
# dependencies again, once for each build.
TEST := go test -vet=off
E2E  := cd tests && $(TEST) -count=1 -parallel 4 -timeout 20m ./...

# The same flags everywhere, so that builds, tests and linters share what is in
# the build cache.
export CGO_ENABLED = 0
export GOFLAGS += -trimpath -buildvcs=false

##@ Use

.PHONY: run
run: build ## Build invar and run it on this host: host metrics, own metrics, OTLP in; Ctrl-C stops it
	exec bin/invar --config builtin:default

.PHONY: build
build: ## Build bin/invar: static, stripped, with version and commit
	$(COMPILE) go build -C distributions/invar -ldflags '$(LDFLAGS)' -o $(CURDIR)/bin/invar .

.PHONY: fleet
fleet: ## Build bin/invar-fleet, the server of remote configurations
	$(COMPILE) go build -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o $(CURDIR)/bin/invar-fleet ./cmd/invar-fleet

.PHONY: fleet-demo
fleet-demo: build fleet ## Run invar-fleet with three collectors on this host; Ctrl-C stops them
	go run ./cmd/invar-fleet/demo

.PHONY: dist
dist: ## Cross-build releases for linux/amd64 and linux/arm64 into dist/, with SBOMs and checksums
	rm -rf dist && mkdir -p dist
	for arch in amd64 arm64; do \
		name=invar_$(VERSION)_linux_$$arch; \
		GOOS=linux GOARCH=$$arch go build -C distributions/invar -ldflags '$(LDFLAGS)' -o $(CURDIR)/dist/$$name . ; \
		go run -C internal/tools ./sbom -name invar -version $(VERSION) $(CURDIR)/dist/$$name > dist/$$name.cdx.json; \
	done
	cd dist && sha256sum invar_* > SHA256SUMS && cat SHA256SUMS

##@ Test

.PHONY: test
test: unit e2e ## Build all that is needed and run every test

.PHONY: unit
unit: ## Run the unit tests of all modules, with the race detector where there is a C compiler
	$(RACE_ENV) $(COMPILE) go build $(RACE) ./...
	$(RACE_ENV) $(TEST) $(RACE) -p 4 ./...
	$(if $(NO_RACE),$(TEST) $(NO_RACE))
	cd internal/tools && $(TEST) ./...
	cd distributions/invar && $(TEST) ./...

.PHONY: e2e
e2e: build fleet servers browser ## Run the end-to-end tests: the built binaries against real servers
	$(E2E)

.PHONY: servers
servers: ## Build the real servers that end-to-end tests use into bin/servers/
	$(COMPILE) go build -C tests/servers/prometheus -tags remove_all_sd -ldflags '-s -w' -o $(CURDIR)/bin/servers/prometheus github.com/prometheus/prometheus/cmd/prometheus
	$(COMPILE) go build -C tests/servers/nodeexporter -ldflags '-s -w' -o $(CURDIR)/bin/servers/node_exporter github.com/prometheus/node_exporter
	$(COMPILE) go build -C tests/servers/mimir -ldflags '-s -w' -o $(CURDIR)/bin/servers/mimir github.com/grafana/mimir/cmd/mimir
	$(COMPILE) go build -C tests/servers/loki -ldflags '-s -w' -o $(CURDIR)/bin/servers/loki github.com/grafana/loki/v3/cmd/loki
	$(COMPILE) go build -C tests/servers/kubernetes -ldflags '-s -w' -o $(CURDIR)/bin/servers/etcd go.etcd.io/etcd/server/v3
	$(COMPILE) go build -C tests/servers/kubernetes -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$$(go list -C tests/servers/kubernetes -m -f '{{.Version}}' k8s.io/kubernetes)" -o $(CURDIR)/bin/servers/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver

.PHONY: browser
browser: ## Install Chromium, for the tests of the web page, where there is none and apt can
	command -v chromium chromium-browser google-chrome >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
		echo "no Chromium, and it could not be installed: the tests of the web page will be skipped"

.PHONY: bench
bench: build fleet servers ## Run all benchmarks (docs/performance.md) and print the footprint of the binary (docs/footprint.md)
	go test -run '^$$' -bench . -benchmem ./...
	go run -C tests ./bench/footprint -binary $(CURDIR)/bin/invar
	go run -C tests ./bench/metricspath -markdown
	go run -C tests ./bench/metricspath -markdown -targets 500 -interval 15s -peers invar,prometheus-agent,otel-batch
	go run -C tests ./bench/metricspath -markdown -outage 10m
	go run -C tests ./bench/logspath -markdown
	go run -C tests ./bench/logspath -markdown -otlp
	go run -C tests ./bench/profiles -markdown
	go run -C tests ./bench/reload -markdown
	go run -C tests ./bench/fleet -markdown

.PHONY: bench-build
bench-build: ## Time every step of CI in a fresh clone with an empty build cache (takes up to an hour)
	go run -C tests ./bench/coldbuild -root $(CURDIR)

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 20s) each
	for package in $$(grep -rl --include='*_test.go' 'func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho 'func Fuzz[A-Za-z0-9_]*' $$package/*_test.go | cut -d' ' -f2); do \
			(cd $$package && go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) .) || exit 1; \
		done; \
	done

.PHONY: soak
soak: ## Run the long form of fault and soak tests
	INVAR_SOAK=1 $(MAKE) e2e

##@ Maintain

.PHONY: generate
generate: ## Regenerate everything generated: the distribution, component metadata, protocol messages, docs/components.md
	go run -C internal/tools ./distgen -root $(CURDIR)
	go run -C internal/tools ./componentgen -root $(CURDIR)
	go run -C internal/tools ./protogen -root $(CURDIR)
	cd distributions/invar && $(TEST) -run TestComponentTable . -update

.PHONY: generate-check
generate-check: ## Fail if something generated is stale
	go run -C internal/tools ./distgen -check -root $(CURDIR)
	go run -C internal/tools ./componentgen -check -root $(CURDIR)
	go run -C internal/tools ./protogen -check -root $(CURDIR)
	cd distributions/invar && $(TEST) -run TestComponentTable .

.PHONY: lint
lint: ## Run the linters, including the rules on who may import whom, and test these rules
	go test -C internal/tools/lint ./...
	for module in $(MODULES); do \
		(cd $$module && $(LINT) run --config $(CURDIR)/.golangci.yml ./...); \
	done

.PHONY: check
check: generate-check unit lint-e2e ## What CI runs

# End-to-end tests wait more than they compute, so the linter runs beside them in
# the time that they leave.
.PHONY: lint-e2e
lint-e2e: build fleet servers browser ## Run the linters and the end-to-end tests at the same time
	$(MAKE) --jobs=2 --output-sync=target lint e2e-built LINT='nice -n 19 $(LINT)'

.PHONY: e2e-built
e2e-built:
	$(E2E)

.PHONY: clean
clean: ## Remove what make built
	rm -rf bin dist data

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
