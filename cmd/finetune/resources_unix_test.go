//go:build unix

package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// resources says how much memory a program needed.
func resources(p *os.ProcessState) string {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return "unknown memory"
	}
	kib := usage.Maxrss
	if runtime.GOOS == "darwin" { // counts bytes
		kib >>= 10
	}
	return fmt.Sprintf("%d MiB", kib>>10)
}
