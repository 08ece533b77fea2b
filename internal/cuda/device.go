//go:build gpu

package cuda

// #cgo CFLAGS: -I${SRCDIR}/include
// #cgo LDFLAGS: -ldl
// #include "driver.h"
import "C"

import (
	"errors"
	"fmt"
	"sync"

	"gorgonia.org/cu"
)

// Status returns nil if there is a driver with at least one device, and what is missing else.
func Status() error { return status() }

var status = sync.OnceValue(func() error {
	if result := C.driver_start(); result != C.CUDA_SUCCESS {
		if missing := C.GoString(C.driver_missing()); missing != "" {
			return fmt.Errorf("cuda: there is no CUDA driver: %s", missing)
		}
		return fmt.Errorf("cuda: the CUDA driver does not start: %w", failure(result))
	}
	n, err := cu.NumDevices()
	if err != nil {
		return tried(translate(err), "count the devices")
	}
	if n == 0 {
		return errors.New("cuda: the CUDA driver has no device")
	}
	return nil
})

// Info describes a device.
type Info struct {
	Index          int
	Name           string
	Memory         int64 // bytes
	Major, Minor   int   // compute capability
	Processors     int   // streaming multiprocessors
	Driver         int   // the CUDA version of the driver, 13000 for 13.0
	SharedPerBlock int   // the most shared memory of a block, in bytes, once a function has asked for it
}

// String names the device as errors do.
func (i Info) String() string { return fmt.Sprintf("%s (device %d)", i.Name, i.Index) }

// Devices describes all devices.
func Devices() ([]Info, error) {
	if err := Status(); err != nil {
		return nil, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return nil, tried(translate(err), "count the devices")
	}
	infos := make([]Info, n)
	for i := range infos {
		if infos[i], err = describe(i); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// describe asks one device.
func describe(index int) (Info, error) {
	info := Info{Index: index, Driver: cu.Version()}
	device, err := cu.GetDevice(index)
	if err == nil {
		info.Name, err = device.Name()
	}
	if err == nil {
		info.Memory, err = device.TotalMem()
	}
	for attribute, value := range map[cu.DeviceAttribute]*int{
		cu.ComputeCapabilityMajor:                               &info.Major,
		cu.ComputeCapabilityMinor:                               &info.Minor,
		cu.MultiprocessorCount:                                  &info.Processors,
		C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: &info.SharedPerBlock,
	} {
		if err == nil {
			*value, err = device.Attribute(attribute)
		}
	}
	return info, tried(translate(err), "ask about device %d", index)
}
