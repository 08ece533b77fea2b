// Package gpu runs the programs of internal/graph on NVIDIA GPUs: the same plan, one
// launch or a few for every kernel call, recorded once in a CUDA graph and replayed.
//
// It is built with the tag gpu, which needs a C compiler but neither CUDA's toolkit nor its
// driver; see docs/gpu.md. Without the tag every call says that GPUs are not built in.
//
//	device.go    a GPU: its context, the loaded kernels, the weights that it holds
//	program.go   a compiled program on a device
//	emit.go      how kernel calls become launches; emit_*.go, one file per family
//	kernels/     the kernels, in CUDA C++, and what clang made of them
//	fake/        a driver that runs the kernels on the processor, for tests
//
//go:generate kernels/build.sh
package gpu
