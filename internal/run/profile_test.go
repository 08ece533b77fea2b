package run

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgrpo/internal/graph"
	"flowgrpo/policy"
)

// A part is what the kernel calls of a name took.
type part struct {
	calls int
	took  time.Duration
	flops float64
}

// BenchmarkProfile says where the time of a velocity and of a gradient goes, on one core, by
// kernel: docs/performance.md has the tables (go test -run '^$' -bench Profile -v).
func BenchmarkProfile(b *testing.B) {
	const batch = 16
	s := benchSession(b)
	in := benchBatch(s, batch)
	in.Bind = func(p graph.Binder) { p.Bind("target", in.X) }
	theta := s.Model.Theta()
	for name, run := range map[string]func(r *policy.Replica) error{
		"velocity": func(r *policy.Replica) error { return r.VelocityAt(make([]float32, len(in.X)), in.X, in.T, in.Cond) },
		"gradient": func(r *policy.Replica) error {
			_, err := r.Gradient(make([]float32, theta.Size()), policy.FlowMatching{}, in)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			r, parts := s.Model.NewReplica(theta), map[string]*part{}
			if err := run(r); err != nil {
				b.Fatal(err)
			}
			r.Observe(func(k graph.Kernel, in []graph.Buffer, took time.Duration) { note(parts, k.Op().Name, in, took) })
			for b.Loop() {
				if err := run(r); err != nil {
					b.Fatal(err)
				}
			}
			b.Log(table(parts))
		})
	}
}

func note(parts map[string]*part, name string, in []graph.Buffer, took time.Duration) {
	family, flops := family(name), 0.0
	size := func(b graph.Buffer) float64 { return float64(b.Len()) }
	switch family {
	case "linear", "low-rank":
		flops = 2 * size(in[0]) * float64(in[1].Shape[0])
	case "linear-grad-x":
		flops = 2 * size(in[0]) * float64(in[1].Shape[1])
	case "linear-grad-w":
		x := in[1].Shape
		flops = 2 * size(in[0]) * float64(x[len(x)-1])
	case "attention", "attention-grad": // two products of tokens × tokens per head, or five
		s, tokens := in[0].Shape, 0
		for i := 0; i < len(in)/3*3; i += 3 {
			tokens += in[i].Shape[1]
		}
		flops = 4 * float64(s[0]*tokens*tokens*s[2])
		if family == "attention-grad" {
			flops *= 2.5
		}
	}
	p := parts[family]
	if p == nil {
		p = &part{}
		parts[family] = p
	}
	p.calls, p.took, p.flops = p.calls+1, p.took+took, p.flops+flops
}

// family returns the name of a kernel without its parameters and epilogue.
func family(name string) string {
	name, _, _ = strings.Cut(name, "+")
	i, j := strings.IndexByte(name, '('), strings.LastIndexByte(name, ')')
	if i < 0 {
		i, _ = strings.IndexByte(name+"[", '['), 0
		return name[:i]
	}
	return name[:i] + name[j+1:]
}

func table(parts map[string]*part) string {
	var all time.Duration
	for _, p := range parts {
		all += p.took
	}
	var b strings.Builder
	fmt.Fprint(&b, "\n| kernel | calls | share of the time | GFLOP/s |\n|---|---|---|---|\n")
	names := slices.SortedFunc(maps.Keys(parts), func(x, y string) int { return cmp.Compare(parts[y].took, parts[x].took) })
	for _, name := range names {
		p := parts[name]
		rate := ""
		if p.flops > 0 {
			rate = fmt.Sprintf("%.0f", p.flops/p.took.Seconds()/1e9)
		}
		fmt.Fprintf(&b, "| %s | %d | %.1f %% | %s |\n", name, p.calls, 100*p.took.Seconds()/all.Seconds(), rate)
	}
	return b.String()
}
