package rollout

import (
	"fmt"

	"flowgrpo/policy"
)

// CPU is a slot of the processor: one replica of the model, run by one goroutine.
type CPU struct {
	*policy.Replica
	slot int
}

// Name implements [Device].
func (c *CPU) Name() string { return fmt.Sprintf("cpu:%d", c.slot) }

// CPUs returns n slots that run m with theta.
func CPUs(m *policy.Model, theta policy.Theta, n int) []Device {
	devices := make([]Device, n)
	for i := range devices {
		devices[i] = &CPU{m.NewReplica(theta), i}
	}
	return devices
}
