//go:build gpu

package cuda

// #include "driver.h"
import "C"

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/cu"
)

// An Error is what a function of the driver returned.
type Error struct {
	Code int
	Name string // CUDA_ERROR_OUT_OF_MEMORY
	Text string // out of memory
}

// Error returns the name and the text.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Name, e.Text) }

// failure returns the error of a result, nil for success.
func failure(result C.int) error {
	if result == C.CUDA_SUCCESS {
		return nil
	}
	var name, text *C.char
	if C.cuGetErrorName(C.CUresult(result), &name) != C.CUDA_SUCCESS || name == nil {
		return &Error{int(result), fmt.Sprintf("CUDA error %d", result), "the driver has no name for it"}
	}
	C.cuGetErrorString(C.CUresult(result), &text)
	return &Error{int(result), C.GoString(name), C.GoString(text)}
}

// translate makes an Error of an error of package cu.
func translate(err error) error {
	if err == nil {
		return nil
	}
	return failure(C.int(code(cu.Success, err)))
}

// code returns the number of an error of package cu, whose type has no exported name.
func code[T ~int](_ T, err error) T {
	var result T
	if !errors.As(err, &result) {
		return C.CUDA_ERROR_UNKNOWN
	}
	return result
}

// tried says what failed. err may be nil.
func tried(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cuda: %s: %w", fmt.Sprintf(format, args...), err)
}

// lost are the codes after which every later call for the same context fails. Invalid is a
// context that could not be made current.
var lost = []int{
	C.CUDA_ERROR_INVALID_CONTEXT,
	C.CUDA_ERROR_DEINITIALIZED,
	C.CUDA_ERROR_ECC_UNCORRECTABLE,
	C.CUDA_ERROR_NVLINK_UNCORRECTABLE,
	C.CUDA_ERROR_CONTAINED,
	C.CUDA_ERROR_ILLEGAL_ADDRESS,
	C.CUDA_ERROR_LAUNCH_TIMEOUT,
	C.CUDA_ERROR_CONTEXT_IS_DESTROYED,
	C.CUDA_ERROR_ASSERT,
	C.CUDA_ERROR_HARDWARE_STACK_ERROR,
	C.CUDA_ERROR_ILLEGAL_INSTRUCTION,
	C.CUDA_ERROR_MISALIGNED_ADDRESS,
	C.CUDA_ERROR_INVALID_ADDRESS_SPACE,
	C.CUDA_ERROR_INVALID_PC,
	C.CUDA_ERROR_LAUNCH_FAILED,
	C.CUDA_ERROR_EXTERNAL_DEVICE,
	C.CUDA_ERROR_UNKNOWN,
}

// Lost reports whether err is of a kind after which the device cannot be used any more by this
// process: a fault of a kernel or of the device itself.
func Lost(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(lost, e.Code)
}

// OutOfMemory reports whether err is for want of memory.
func OutOfMemory(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == C.CUDA_ERROR_OUT_OF_MEMORY
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<10:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d bytes", bytes)
}
