# Run `make` for the list of targets.
.DEFAULT_GOAL := help
.PHONY: help build test race long vet fmt bench bench-peer fuzz generate goldens ci

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build the finetune binary
	CGO_ENABLED=0 go build -o finetune ./cmd/finetune

test: ## vet and test
	go vet ./...
	go test ./...

race: ## test under the race detector (needs a C compiler)
	go test -race ./...

long: ## all tests, those that take minutes too
	FLOWGRPO_LONG=1 go test -timeout 60m ./...

vet: ## static checks
	go vet ./...
	test -z "$$(gofmt -l .)"

fmt: ## format the sources
	gofmt -w .

bench: ## benchmarks of kernels, samplers, rewards and whole iterations
	go test -run '^$$' -bench . ./...

bench-peer: ## side by side with PyTorch and OpenBLAS (needs contrib/goldens/requirements.txt)
	python3 contrib/peer/bench.py

fuzz: ## every fuzz target for 20 seconds
	@for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    go test -run '^$$' -fuzz "^$$f$$" -fuzztime 20s $$pkg || exit 1; \
	  done; done

generate: ## write the generated files again
	go generate ./...

goldens: ## write testdata/reference again (needs contrib/goldens/requirements.txt)
	PYTHONHASHSEED=0 python3 contrib/goldens/make.py

ci: ## what continuous integration runs
	.ci/run
