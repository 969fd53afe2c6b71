# `make` alone lists the targets. Nothing but Go is needed: a test that has no server, or no C compiler for the race
# detector, says so and goes on without (internal/dbtest tells how to give it servers).

FUZZTIME    ?= 1m
# Targets to leave out, as an expression of grep -E.
FUZZSKIP    ?= -
# The longest ones first: the others are tested beside them.
PACKAGES    ?= ./internal/conformance ./gooseplustest ./internal/session . ./...
# The packages in which something runs at the same time as something else.
RACES       ?= ./internal/conformance . ./gooseplustest ./internal/session ./internal/mutex ./internal/history ./internal/drive
RUN         ?=
CHAOS       ?= Chaos|TestKilled|TenPackages|ManyProcesses|ConnectionKilled|HolderKilled|Takeover|ServerPowerLoss|ServerRestart|StartOrTarget|Tenants|TwoFleets|PgBouncer|History|Drift|SilentNetwork|DownKilled|SideBySide
STATICCHECK ?= go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The race detector is a C library.
RACE := $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$(go env CC)" >/dev/null && echo -race)
# benchmarks is a module of its own, with the tools that gooseplus is compared with.
BENCHMARKS := $(wildcard benchmarks/go.mod)
# A C compiler takes ten times as long to optimize SQLite, for mattn's driver, as the tests gain by it.
export CGO_CFLAGS ?= -O0 -g0

# The coverage leaves out packages that only test or show the library.
COVERED = $(shell go list ./... | grep -v -e /internal/dbtest -e /internal/conformance -e /examples | paste -s -d , -)

.DEFAULT_GOAL := help
.PHONY: help demo demo-fleet test compiled test-packages test-drivers test-race test-fleet chaos test-dockertest test-benchmarks test-otelgooseplus lint fuzz bench cover test-image

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run the quickstart example, on SQLite
	go run ./examples/quickstart

# The example says so if there is no PostgreSQL.
demo-fleet: ## run the example of a fleet: two servers, three workers, one of them killed; it needs PostgreSQL
	go run ./internal/dbtest/serve go run -C fleet ./examples/fleet

# $(call tests,flags,packages) tests packages, all of them on the same servers, and lists what was skipped.
define tests
	@skips=$$(mktemp) || exit; trap 'rm -f "$$skips"' EXIT; set -x; \
	GOOSEPLUS_TEST_SKIPS=$$skips go run ./internal/dbtest/serve \
		go test $(1) $(if $(RUN),-run "$(RUN)") -shuffle=on -timeout 40m $(2); status=$$?; \
	{ set +x; } 2>/dev/null; cat "$$skips"; exit $$status
endef

# Everything is compiled first: two go commands at once would each compile what both need.
test: ## run all tests, the long ones in a short form; those without a database server are skipped and listed
	$(if $(RUN),$(MAKE) test-packages,$(MAKE) compiled && $(MAKE) -j2 test-packages test-fleet)

compiled:
	@go list -export -deps -test ./... >/dev/null
	@go list -C fleet -export -deps -test ./... >/dev/null

test-packages:
	$(call tests,-vet=off,$(PACKAGES))

test-fleet: ## test the fleet, a module of its own
	go run ./internal/dbtest/serve go test -C fleet -vet=off -timeout 20m ./...

test-drivers: ## run the tests of internal/conformance over every driver, also those that the driver makes no difference to
	GOOSEPLUS_TEST_DRIVERS=all $(MAKE) test PACKAGES=./internal/conformance RUN='$(or $(RUN),.)'

test-race: ## run tests with the race detector, of the packages in RACES: those with concurrency
	$(if $(RACE),,@echo "the race detector needs cgo and a C compiler"; exit 1)
	$(call tests,$(RACE),$(RACES))

chaos: ## long runs that kill processes, servers and connections, and a minute of each fuzz target
	GOOSEPLUS_CHAOS=1 go test $(RACE) -run '$(CHAOS)' -count=1 -timeout 60m -v ./...
	GOOSEPLUS_CHAOS=1 go run ./internal/dbtest/serve go test -C fleet -count=1 -parallel 1 -timeout 60m -v .
	$(MAKE) fuzz

# Docker's modules must not get into the go.sum of those who use the library.
test-dockertest: ## test what works with github.com/ory/dockertest, a module of its own: it needs a docker engine
	cd internal/dockertest && go test ./...

test-benchmarks: ## test the comparison with other tools, a module of its own
	$(if $(BENCHMARKS),cd benchmarks && go test ./...)

# OpenTelemetry must not get into the go.sum of those who use the library without it.
test-otelgooseplus: ## test the telemetry, a module of its own
	cd otelgooseplus && go run ../internal/dbtest/serve go test ./...

lint: ## gofmt, go vet, staticcheck, go mod tidy
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w is needed:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...
	go mod tidy -diff
	cd fleet && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff
	cd internal/dockertest && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff
	cd otelgooseplus && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff
	$(if $(BENCHMARKS),cd benchmarks && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff)

# The packages of this module alone get the counters that guide the fuzzing: with -fuzz go test would compile all that they
# use once more, with counters that nobody wants to be guided by.
fuzz: ## run every fuzz target for FUZZTIME (1m)
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; cache=$$(go env GOCACHE)/fuzz; module=$$(go list -m); \
	for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n 1 dirname | sort -u); do \
		go test -c -vet=off -gcflags="$$module...=-d=libfuzzer" -o "$$work/test" "$$dir"; \
		for target in $$(cd "$$dir" && "$$work/test" -test.list '^Fuzz' | grep '^Fuzz' | grep -vxE '$(FUZZSKIP)'); do \
			echo "fuzzing $$target of $$dir for $(FUZZTIME)"; \
			(cd "$$dir" && "$$work/test" -test.run "^$$target$$" -test.fuzz "^$$target$$" -test.fuzztime $(FUZZTIME) \
				-test.fuzzcachedir "$$cache/$$(go list)"); \
		done; \
	done

bench: export CGO_CFLAGS = -O2 -g
bench: ## compare with other migration tools
	cd benchmarks && go run .

cover: ## test coverage over all packages, in cover.out
	go test -coverprofile=cover.out -coverpkg=$(COVERED) -timeout 20m ./...
	@go tool cover -func=cover.out | tail -n 1

test-image: ## docker images of the servers from distribution packages (SUITE=trixie: another suite), where no registry is reachable
	internal/dbtest/image/build $(SUITE)
