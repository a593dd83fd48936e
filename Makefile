# Everything that is done with this tree. As root on Debian, with Go: "make test"
# and "make demo" install what else they need. Tools and root file systems are
# kept in $(EVENKEEL_CACHE) between runs.

export EVENKEEL_CACHE ?= /var/cache/evenkeel
export CGO_ENABLED    := 0
export GOTOOLCHAIN    := local

# A tag's version, else one that sorts before the first release.
ifndef VERSION
VERSION := $(shell { git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-/+/; s/-/./g' | grep . ; } \
	|| git log -1 --date=format:%Y%m%d%H%M%S --format=0.1.0~git%cd.%h 2>/dev/null || echo 0.1.0~dev)
endif
ARCH := $(shell go env GOARCH)

golangci_lint := $(EVENKEEL_CACHE)/tools/golangci-lint-v2.15.0/golangci-lint
nfpm          := $(EVENKEEL_CACHE)/tools/nfpm-v2.45.0/nfpm

# The sweep of "make sweep": all the crash points of a release.
POINTS ?= 10000000

.PHONY: build test unit race e2e lint bench sweep mutants edits cost vm demo package deps rootfs clean

build:
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION) -X main.revision=$(shell git rev-parse HEAD 2>/dev/null)" -o build/evenkeel ./cmd/evenkeel

# All tests: the packages with the crash sweep, the race detector, the hosts.
test: deps
	$(MAKE) unit
	$(MAKE) race
	$(MAKE) e2e

unit:
	go vet ./... && go vet -tags e2e,cost,vm ./e2e/... && go vet -tags e2e_host ./units/bus ./agent/apply && go vet -tags mutants ./agent
	go test -timeout 15m ./...
	go test -tags mutants ./agent -run '^TestMutantsApply$$'

# Where goroutines are. Of package agent the watch and the webhook: its children have
# memory limits that the detector's own memory breaks, and the sweep would take an hour.
# Of package source all but what measures, and what asks gpg and ssh-keygen one by one.
race:
	CGO_ENABLED=1 go test -race -timeout 10m ./agent/health ./units/... ./metrics
	CGO_ENABLED=1 go test -race -timeout 10m ./agent/source -skip 'CostTheSame|SignatureMatrix|SignedTags|SixtyPushes'
	CGO_ENABLED=1 go test -race -timeout 10m ./agent -run 'Guard|CutsTheNetwork|RedBefore|NewCheck|NotExcused|TwoBad|ProbationIs|FirstLines|WayBack|Webhook|Nudges'

# Tests on real hosts. RUN= picks some, ARGS= are flags for them. The second package
# is the first one again, a version later, for the upgrades.
e2e: deps rootfs package
	$(MAKE) package VERSION=$(VERSION).next
	go test -c -tags e2e_host -o build/host-tests/ ./units/bus ./agent/apply
	rm -f build/figures.txt
	EVENKEEL_HOST_TESTS=$(CURDIR)/build/host-tests EVENKEEL_FIGURES=$(CURDIR)/build/figures.txt \
	EVENKEEL_DEB=$(CURDIR)/dist/evenkeel_$(VERSION)_$(ARCH).deb \
	EVENKEEL_NEXT_DEB=$(CURDIR)/dist/evenkeel_$(VERSION).next_$(ARCH).deb \
	go test -tags e2e$(TAGS) -count=1 -timeout 75m -parallel 12 $(if $(RUN),-v -run "$(RUN)") ./e2e $(ARGS)
	@$(if $(RUN),:,[ ! -e build/figures.txt ] || cat build/figures.txt)

lint: $(golangci_lint)
	GOLANGCI_LINT_CACHE=$(EVENKEEL_CACHE)/golangci-lint $(golangci_lint) run --build-tags e2e,cost,vm,e2e_host,mutants ./...

bench:
	go test -run '^$$' -bench . -benchmem ./...

sweep:
	go test ./agent -run '^TestSweep' -sweep.points=$(POINTS) -timeout 0 -v

# Each safeguard taken away once: the tests must see it.
mutants:
	go test -tags mutants ./agent -run '^TestMutants$$' -timeout 0 -v

# All 500 random edits by hand, on each release. SEED= repeats those of another run.
edits:
	$(MAKE) e2e RUN='^TestRandomEdits$$' ARGS='-edits.count=500 -edits.median=1s -edits.seed=$(or $(SEED),0)'

# What the watch costs at 100, 1,000 and 10,000 files. Nothing else may run.
cost:
	go test -run '^$$' -bench '^BenchmarkLookout$$' ./agent
	$(MAKE) e2e RUN='^TestCostOfTheWatch$$' TAGS=,cost

# What containers cannot show, on virtual machines with kernels of their own. CUTS= is how
# often the power of each is cut.
vm:
	e2e/deps.sh vm
	e2e/rootfs.sh bookworm-vm trixie-vm >/dev/null
	$(MAKE) e2e RUN='^TestVM' TAGS=,vm ARGS='-parallel=2 -vm.cuts=$(or $(CUTS),6)'

demo: deps rootfs package
	go build -o build/demo ./e2e/demo
	EVENKEEL_DEB=$(CURDIR)/dist/evenkeel_$(VERSION)_$(ARCH).deb build/demo

package: $(nfpm)
	NFPM=$(nfpm) VERSION=$(VERSION) ARCH=$(ARCH) packaging/build

deps:
	e2e/deps.sh

rootfs: deps
	e2e/rootfs.sh >/dev/null

clean:
	rm -rf build dist

$(golangci_lint):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

$(nfpm):
	GOBIN=$(@D) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
