# A build needs Go alone; -race needs a C compiler besides. The linter is built once, from the versions in tools/go.mod.
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s
ARGS     ?=

LINT := bin/golangci-lint

.DEFAULT_GOAL := help
.PHONY: help build run demo fmt lint lint-picture lint-deploy test race e2e fuzz bench cover schema check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Always handed to Go, whose own cache knows what changed. The version comes from -X, so Go need not ask git again.
build: ## the static binary bin/l7
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/l7 .

run: build ## build, then l7 with ARGS="..."
	bin/l7 $(ARGS)

demo: build ## three tiny servers and l7 in front of them (ARGS="--port 9000" for another port)
	bin/l7 demo $(ARGS)

fmt: $(LINT) ## format the code
	$(LINT) fmt

lint: $(LINT) lint-picture lint-deploy ## format check and linters
	$(LINT) run ./...

lint-picture: $(LINT) ## prove that the linter refuses every import against the picture
	go test -C tools -count=1 .

lint-deploy: ## prove that Kubernetes and Compose take what is in deploy/
	go test -C e2e/deploycheck -count=1 .
	go vet -C e2e/deploycheck .

test: ## all tests: the quick run
	go test ./...

race: ## all tests under the race detector
	go test -race ./...

e2e: ## the end-to-end tests under the race detector
	go test -race -count=1 ./e2e/...

fuzz: ## every fuzz target in turn, FUZZTIME=10s each
	bash tools/fuzz.sh $(FUZZTIME)

bench: ## the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

cover: ## test coverage, by function and in total
	go test -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out

schema: ## make the JSON Schema of the config file anew
	go generate ./config/

check: lint race ## what a change has to pass: format, linters, all tests under the race detector

clean: ## remove what was built
	rm -rf bin dist coverage.out

$(LINT): tools/go.mod tools/go.sum
	CGO_ENABLED=0 go build -C tools -buildvcs=false -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
