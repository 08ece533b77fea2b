// Command finetune fine-tunes flow-matching models with Flow-GRPO.
//
// Everything for people goes to standard error, data to standard output. Exit codes
// are in root.go.
package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
)

// garbage is the share of the memory in use, in per cent, that garbage may take before it is
// collected. Weights and buffers of programs are nearly all of it and stay, so that a
// collection is rare anyway.
const garbage = 10

func main() {
	runtime.MemProfileRate = 0 // nobody asks for a profile, whose call stacks would take more memory for hours
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	os.Exit(execute(context.Background(), os.Args, os.Stdout, os.Stderr))
}
