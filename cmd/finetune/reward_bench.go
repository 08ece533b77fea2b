package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	asked
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
takes and how many pictures a second are scored. It fails if a sample has no score.
` + targetHelp,
		Example: `  finetune reward bench ./reward.py
  finetune reward bench http://host:8000 --batch 24 --concurrency 4`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd, args[0]) },
	}
	b.rewardTarget.flags(c)
	b.asked.flags(c)
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
	all := measured{failures: map[string]int{}}
	for _, n := range b.batches {
		batch := tryout.Samples((n + 2) / 3)[:n]
		if err := b.asked.set(batch); err != nil {
			return errors.Join(err, reward.Close(r))
		}
		m, err := b.measure(cmd, r, batch)
		if err != nil {
			return errors.Join(err, reward.Close(r))
		}
		all.add(m)
		fmt.Fprintf(w, "%d\t%.2f\t%.2f\t%.0f\t%d\t\n", n, m.quantile(.5), m.quantile(.95), m.rate(), m.failed)
	}
	return errors.Join(w.Flush(), all.err(), reward.Close(r))
}

// measured is what calls of one size took.
type measured struct {
	calls    []time.Duration
	pictures int
	failed   int
	failures map[string]int // why, and how often
	elapsed  time.Duration
}

// add adds the calls of another measurement.
func (m *measured) add(of *measured) {
	m.calls = append(m.calls, of.calls...)
	m.pictures += of.pictures
	m.failed += of.failed
	for why, n := range of.failures {
		m.failures[why] += n
	}
}

// count counts the results of a call.
func (m *measured) count(results []reward.Result) {
	m.pictures += len(results)
	for _, res := range results {
		if res.Err == nil {
			continue
		}
		m.failed++
		for _, f := range reward.Causes(res.Err) {
			m.failures[string(f.Reason)]++
		}
	}
}

// err says how many samples have no score, and why most of these; nil if all have one.
func (m *measured) err() error {
	if m.failed == 0 {
		return nil
	}
	most := slices.MaxFunc(slices.Sorted(maps.Keys(m.failures)), func(a, b string) int { return m.failures[a] - m.failures[b] })
	return fmt.Errorf("%d of %s have no score; most often (%d times): %s", m.failed, counted(m.pictures, "picture", "pictures"), m.failures[most], most)
}

// quantile returns the duration that a share q of the calls did not exceed, in ms.
func (m *measured) quantile(q float64) float64 {
	slices.Sort(m.calls)
	return m.calls[int(q*float64(len(m.calls)-1))].Seconds() * 1e3
}

// rate returns the pictures that were scored in a second.
func (m *measured) rate() float64 { return float64(m.pictures-m.failed) / m.elapsed.Seconds() }

// leastCalls is how often a batch is scored, whatever time that takes: a median of fewer says
// nothing.
const leastCalls = 3

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
		workers.Go(func(ctx context.Context) (measured, error) {
			m := measured{failures: map[string]int{}}
			for len(m.calls) < leastCalls || time.Now().Before(end) {
				clock := time.Now()
				results, err := r.Score(ctx, batch)
				if err != nil {
					return m, err
				}
				m.calls = append(m.calls, time.Since(clock))
				m.count(results)
			}
			return m, nil
		})
	}
	all, err := workers.Wait()
	total := &measured{failures: map[string]int{}, elapsed: time.Since(start)}
	for i := range all {
		total.add(&all[i])
	}
	return total, err
}
