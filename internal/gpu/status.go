//go:build gpu

package gpu

import "flowgrpo/internal/cuda"

// Built says whether GPUs are built in.
const Built = true

// Info describes a device.
type Info = cuda.Info

// Status returns nil if there is a driver with at least one device, and what is missing else.
func Status() error { return cuda.Status() }

// Devices describes all devices of the machine.
func Devices() ([]Info, error) { return cuda.Devices() }
