// Command finetune fine-tunes flow-matching models with Flow-GRPO.
//
// Everything for people goes to standard error, data to standard output. Exit
// codes: 0 success, 1 failure, 2 usage or configuration, 130 stopped by a signal.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(execute(context.Background(), os.Args, os.Stdout, os.Stderr))
}
