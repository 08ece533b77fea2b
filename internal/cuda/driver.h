#ifndef FLOWGRPO_DRIVER_H
#define FLOWGRPO_DRIVER_H

#include <cuda.h>

/*
 * driver_start loads and initialises the driver, once. It returns what cuInit returned; where there
 * is no driver, CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, and driver_missing says why.
 */
int driver_start(void);
const char *driver_missing(void);

/*
 * driver_enter makes a context current on this thread. The thread remembers which one is, so that
 * entering it again costs nothing; generation tells apart contexts that had the same handle.
 */
void driver_enter(CUcontext context, unsigned generation);

/* driver_launch is cuLaunchKernel with all parameters packed into one buffer. */
int driver_launch(CUfunction function, const unsigned grid[3], unsigned threads, unsigned shared,
	CUstream stream, void *params, size_t bytes);

/* driver_load is cuModuleLoadDataEx; errors of the compiler are written to log. */
int driver_load(CUmodule *module, const void *image, char *log, size_t bytes);

/* A tensor in memory, the innermost dimension first; strides are in bytes and begin with dimension 1. */
typedef struct {
	int bfloat16; /* else float */
	CUdeviceptr address;
	unsigned rank, swizzle;
	cuuint64_t sizes[3], strides[2];
	cuuint32_t box[3];
} driver_layout;

/* driver_map writes the 128 bytes of a tensor map. */
int driver_map(void *map, const driver_layout *layout);

#endif
