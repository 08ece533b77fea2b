//go:build !amd64

package kernel

// vector is never called here: level is Portable.
func vector(o function, v *vecArgs) { panic("kernel: no vector functions on this machine") }
