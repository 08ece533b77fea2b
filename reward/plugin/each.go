package plugin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// Each scores every sample on its own, on all processors, and returns the results in
// order. A panic costs its own sample only. Once the context is done the rest fails.
func Each(ctx context.Context, batch []Sample, score func(Sample) Result) []Result {
	groups := make([][]Sample, len(batch))
	for i := range batch {
		groups[i] = batch[i : i+1]
	}
	return each(ctx, groups, func(group []Sample) []Result { return []Result{score(group[0])} })
}

// EachGroup calls score for every group of the batch, on all processors, and returns
// the results of all in order. score returns a result for each sample of the group; if
// it does not, or panics, the group fails.
func EachGroup(ctx context.Context, batch []Sample, score func([]Sample) []Result) []Result {
	var groups [][]Sample
	for i, from := 1, 0; i <= len(batch); i++ {
		if i == len(batch) || batch[i].Group != batch[from].Group {
			groups = append(groups, batch[from:i])
			from = i
		}
	}
	return each(ctx, groups, score)
}

func each(ctx context.Context, groups [][]Sample, score func([]Sample) []Result) []Result {
	results := make([][]Result, len(groups))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(len(groups), runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := range next {
				results[i] = guarded(ctx, groups[i], score)
			}
		})
	}
	for i := range groups {
		next <- i
	}
	close(next)
	workers.Wait()
	var all []Result
	for _, r := range results {
		all = append(all, r...)
	}
	return all
}

// guarded returns one result per sample of the group, whatever score does.
func guarded(ctx context.Context, group []Sample, score func([]Sample) []Result) (results []Result) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", v, debug.Stack())
			results = repeated(len(group), Fail("panic", "%s%v", panicSite(), v))
		}
	}()
	if ctx.Err() != nil {
		return repeated(len(group), Fail("timed out", "nobody waits for the answer any more"))
	}
	results = score(group)
	if len(results) != len(group) {
		return repeated(len(group), Fail("wrong number of scores", "%d results for a group of %d", len(results), len(group)))
	}
	return results
}

// panicSite returns "FILE:LINE: " of what panicked, for the function that recovers from it.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicked := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if panicked && !inRuntime {
			return fmt.Sprintf("%s:%d: ", filepath.Base(f.File), f.Line)
		}
		panicked = panicked || f.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

func repeated(n int, r Result) []Result {
	out := make([]Result, n)
	for i := range out {
		out[i] = r
	}
	return out
}
