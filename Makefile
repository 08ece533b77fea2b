# Run `make` for the list of targets.
.DEFAULT_GOAL := help
.PHONY: help build gpu test gpu-test gpu-test-device gpu-bench gpu-generate race long crash damage resume determinism soak vet fmt bench bench-peer fuzz fuzz-long generate goldens ci

# What building with the tag gpu needs of cgo: the declarations of the driver, and a name to
# link with. Nothing of CUDA has to be installed.
gpu_env = CGO_ENABLED=1 CGO_CFLAGS="-O2 -g '-I$(CURDIR)/internal/cuda/include'" CGO_LDFLAGS="'-L$(CURDIR)/internal/cuda/lib'"
binary = finetune
# What compiles the kernels for the processor, to test them: they use clang's vectors.
clang = $(shell command -v clang++-19 || command -v clang++)

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

build: ## build the finetune binary
	CGO_ENABLED=0 go build -o finetune ./cmd/finetune

gpu: ## build the finetune binary with GPUs (needs a C compiler)
	$(gpu_env) go build -tags gpu -o $(binary) ./cmd/finetune

test: ## vet and test
	go vet ./...
	go test ./...

gpu-test: ## test what is for GPUs on the processor (needs clang++)
	@test -n "$(clang)" || { echo "gpu-test needs clang++-19 or clang++, and there is neither"; exit 1; }
	$(gpu_env) go vet -tags gpu ./...
	@driver=$$(mktemp -d) && trap 'rm -rf "$$driver"' EXIT && \
	echo "building a driver that runs the kernels on the processor, with $(clang)" && \
	CXX="$(clang)" internal/gpu/fake/build.sh "$$driver/libcuda.so" && \
	export FLOWGRPO_CUDA_DRIVER="$$driver/libcuda.so" && $(MAKE) --no-print-directory gpu-test-device

gpu-test-device: ## the same tests on the GPU of this machine
	FLOWGRPO_REQUIRE_GPU=1 $(gpu_env) go test -count=1 -tags gpu -timeout 20m ./internal/cuda ./internal/gpu/...
	FLOWGRPO_REQUIRE_GPU=1 $(gpu_env) go test -count=1 -tags gpu -timeout 10m -run GPU ./internal/run
	$(gpu_env) go test -count=1 -tags gpu -run Scripts/info ./cmd/finetune

gpu-bench: ## benchmarks on the GPU of this machine, or those that bench=REGEXP names
	$(gpu_env) go test -tags gpu -run '^$$' -bench '$(or $(bench),.)' -benchtime 1x ./internal/gpu

gpu-generate: ## compile the kernels for GPUs again (needs clang-19)
	go generate ./internal/gpu

race: ## test under the race detector (needs a C compiler)
	go test -race ./...

long: ## all tests, those that take minutes too
	FLOWGRPO_LONG=1 go test -timeout 60m ./...

crash: ## 100,000 simulated power cuts, and a failure of every file operation, while saving (a minute)
	FLOWGRPO_LONG=1 go test -count=1 -timeout 10m ./internal/disk ./internal/crashfs
	FLOWGRPO_LONG=1 go test -count=1 -timeout 10m -v -run 'PowerCuts|Fails|DiskFull|ReplaceDir' ./internal/run

resume: ## runs stopped after every iteration, killed and stopped at 200 random instants each (15 minutes)
	FLOWGRPO_LONG=1 go test -count=1 -timeout 30m -v -run 'ResumeAtEveryStep|ResumeForgets|StopAmid' ./internal/run
	FLOWGRPO_LONG=1 go test -count=1 -timeout 60m -v -run 'Kill|Terminate' ./cmd/finetune

soak = 2h
soak: ## small runs one after the other for two hours (or soak=20m): memory, goroutines and open files stay
	FLOWGRPO_SOAK=$(soak) go test -count=1 -timeout 30h -v -run 'TestSoak|TestSlope' ./internal/run

damage: ## every bit of a checkpoint, every length that a file is cut to (two minutes)
	FLOWGRPO_LONG=1 go test -count=1 -timeout 20m -v -run 'EveryBit|LargeCheckpoint|FallBack|NoCheckpointIsWhole|IsClosed|NonFiniteCheckpoint' ./internal/run

determinism: ## the same files from other processors, threads and builds (ten minutes)
	FLOWGRPO_LONG=1 go test -count=1 -timeout 60m -v -run 'NothingIsFused|Frozen' ./internal/portable
	FLOWGRPO_LONG=1 go test -count=1 -timeout 60m -v -run MachinesAgree ./cmd/finetune

vet: ## static checks
	go vet ./...
	test -z "$$(gofmt -l .)"

fmt: ## format the sources
	gofmt -w .

bench: ## benchmarks of kernels, samplers, rewards and whole iterations
	go test -run '^$$' -bench . ./...

bench-peer: ## side by side with PyTorch and OpenBLAS (needs contrib/goldens/requirements.txt)
	python3 contrib/peer/bench.py

FUZZTIME = 20s

fuzz: ## every fuzz target for FUZZTIME, 20s if not given
	contrib/fuzz.sh $(FUZZTIME)

fuzz-long: ## every fuzz target for two minutes, and then ten million times (an hour or two)
	contrib/fuzz_long.sh 2m 10000000

generate: ## write the generated files again, but for those of gpu-generate
	go generate $$(go list ./... | grep -v '/internal/gpu$$')

goldens: ## write testdata/reference again (needs contrib/goldens/requirements.txt)
	PYTHONHASHSEED=0 python3 contrib/goldens/make.py

ci: ## what continuous integration runs
	.ci/run
