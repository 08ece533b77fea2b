package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

// openingPatience is how long rewards may take to load before it is said what is waited for.
const openingPatience = 3 * time.Second

// opened returns what open does, which may wait for rewards to load; where that takes long it
// says so. Once the user asks the program to stop it returns [run.ErrStopped] without waiting:
// nothing has been written yet, and rewards end with the program.
func opened[T any](cmd *cobra.Command, open func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := open()
		done <- answer{value, err}
	}()
	slow := time.NewTimer(openingPatience)
	defer slow.Stop()
	for {
		select {
		case a := <-done:
			return a.value, a.err
		case <-slow.C:
			fmt.Fprintln(cmd.ErrOrStderr(), "waiting for the rewards to load")
		case <-stopOf(cmd.Context()).Done():
			var none T
			return none, run.ErrStopped
		}
	}
}
