// Package cuda drives NVIDIA GPUs: devices, memory, streams, events, modules, launches, recorded
// graphs, tensor maps and the matrix products of cuBLASLt. It has contents only with the build tag
// gpu.
//
// Nothing of the CUDA toolkit is needed to build it, and nothing of CUDA is linked: the driver's
// library is opened when the first of [Status], [Devices] and [Open] is called. FLOWGRPO_CUDA_DRIVER
// names another library than libcuda.so.1, FLOWGRPO_CUBLASLT another than the libcublasLt that is
// found. Beneath lies gorgonia.org/cu, whose package initialisation would end the program on a
// machine without a GPU, were it not for driver.c.
//
// Every method may be called from any goroutine: it makes its context current itself. Whoever calls
// many of them in a row saves time with [Context.Enter].
package cuda
