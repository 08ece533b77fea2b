package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/sourcegraph/conc/pool"
	"github.com/spf13/cobra"

	"flowgrpo/reward"
)

// benchFlags are the flags of `finetune reward bench`.
type benchFlags struct {
	rewardTarget
	batches     []int
	concurrency int
	seconds     float64
}

func newRewardBench([]string) *cobra.Command {
	var b benchFlags
	c := &cobra.Command{
		Use:   "bench REWARD",
		Short: "Measure latency and throughput",
		Long: `Call a reward again and again with batches of several sizes and print how long a call
takes and how many pictures a second are scored.
` + targetHelp,
		Example: `  finetune reward bench ./reward.py
  finetune reward bench http://host:8000 --batch 24 --concurrency 4`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd, args[0]) },
	}
	b.flags(c)
	c.Flags().IntSliceVar(&b.batches, "batch", []int{1, 8, 24, 96}, "pictures per call")
	c.Flags().IntVar(&b.concurrency, "concurrency", 1, "calls at the same time")
	c.Flags().Float64Var(&b.seconds, "seconds", 2, "how long to measure each size")
	return c
}

func (b *benchFlags) run(cmd *cobra.Command, name string) error {
	if slices.Min(append(b.batches, b.concurrency)) < 1 || !(b.seconds > 0) {
		return usage("--batch and --concurrency must be at least 1, --seconds more than 0")
	}
	r, tryout, err := b.open(name)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "pictures per call\tmedian, ms\t95 % below, ms\tpictures/s\tfailed\t")
	for _, n := range b.batches {
		m, err := b.measure(cmd, r, tryout.Samples((n + 2) / 3)[:n])
		if err != nil {
			return errors.Join(err, reward.Close(r))
		}
		fmt.Fprintf(w, "%d\t%.2f\t%.2f\t%.0f\t%d\t\n", n, m.quantile(.5), m.quantile(.95), m.rate(), m.failed)
	}
	return errors.Join(w.Flush(), reward.Close(r))
}

// measured is what calls of one size took.
type measured struct {
	calls    []time.Duration
	pictures int
	failed   int
	elapsed  time.Duration
}

// quantile returns the duration that a share q of the calls did not exceed, in ms.
func (m *measured) quantile(q float64) float64 {
	slices.Sort(m.calls)
	return m.calls[int(q*float64(len(m.calls)-1))].Seconds() * 1e3
}

// rate returns the pictures that were scored in a second.
func (m *measured) rate() float64 { return float64(m.pictures-m.failed) / m.elapsed.Seconds() }

// measure calls r with batch until the time is up, after one call that does not count.
func (b *benchFlags) measure(cmd *cobra.Command, r reward.Reward, batch []reward.Sample) (*measured, error) {
	ctx := stopOf(cmd.Context())
	if _, err := r.Score(ctx, batch); err != nil {
		return nil, err
	}
	start := time.Now()
	end := start.Add(time.Duration(b.seconds * float64(time.Second)))
	workers := pool.NewWithResults[measured]().WithContext(ctx).WithCancelOnError().WithFirstError()
	for range b.concurrency {
		workers.Go(func(ctx context.Context) (m measured, err error) {
			for len(m.calls) == 0 || time.Now().Before(end) {
				clock := time.Now()
				results, err := r.Score(ctx, batch)
				if err != nil {
					return m, err
				}
				m.calls = append(m.calls, time.Since(clock))
				m.pictures += len(batch)
				for _, res := range results {
					if res.Err != nil {
						m.failed++
					}
				}
			}
			return m, nil
		})
	}
	all, err := workers.Wait()
	total := &measured{elapsed: time.Since(start)}
	for _, m := range all {
		total.calls = append(total.calls, m.calls...)
		total.pictures += m.pictures
		total.failed += m.failed
	}
	return total, err
}
