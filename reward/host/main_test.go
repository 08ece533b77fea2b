package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"flowgrpo/reward"
	"flowgrpo/reward/plugin"
	"flowgrpo/task"
)

// TestMain makes this binary the programs that it tests, "plugin BEHAVIOUR …", and a
// host that is killed, "host COMMAND …". In the end no goroutine may be left.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "plugin" {
		behave(os.Args[2], os.Args[3:])
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "host" {
		beHost(os.Args[2:])
	}
	goleak.VerifyTestMain(m)
}

// program returns the command of a behaviour.
func program(behaviour string, args ...string) []any {
	command := []any{os.Args[0], "plugin", behaviour}
	for _, a := range args {
		command = append(command, a)
	}
	return command
}

func behave(behaviour string, args []string) {
	switch behaviour {
	case "luma":
		plugin.Main(luma{plugin.PNG})
	case "luma32":
		plugin.Main(luma{plugin.Float32})
	case "noisy":
		plugin.Main(noisy{luma{plugin.PNG}})
	case "idle":
		plugin.Main(idle{args[0]})
	case "connect":
		serveConnect()
	}
	act, ok := hostile[behaviour]
	if !ok {
		fmt.Fprintln(os.Stderr, "no behaviour", behaviour)
		os.Exit(2)
	}
	act(args)
}

// luma scores the mean of the first channel.
type luma struct{ format string }

func (l luma) Info() plugin.Info {
	return plugin.Info{Name: "luma", Version: "1.2", Image: l.format, Deterministic: true, MaxBatch: 3, MinScore: -1, MaxScore: 300}
}

func (l luma) Score(ctx context.Context, batch []plugin.Sample) ([]plugin.Result, error) {
	return plugin.Each(ctx, batch, func(s plugin.Sample) plugin.Result {
		if l.format == plugin.Float32 {
			var sum float64
			for _, v := range s.Image.Pix[:s.Image.H*s.Image.W] {
				sum += float64(v)
			}
			return plugin.Result{Score: sum / float64(s.Image.H*s.Image.W)}
		}
		im, err := s.Image.Decode()
		if err != nil {
			return plugin.Result{Err: err}
		}
		var sum float64
		for y := range im.Bounds().Dy() {
			for x := range im.Bounds().Dx() {
				r, _, _, _ := im.At(x, y).RGBA()
				sum += float64(r >> 8)
			}
		}
		return plugin.Result{Score: sum / float64(im.Bounds().Dx()*im.Bounds().Dy())}
	}), nil
}

// idle looks at nothing.
type idle struct{ format string }

func (i idle) Info() plugin.Info { return plugin.Info{Image: i.format} }

func (idle) Score(_ context.Context, batch []plugin.Sample) ([]plugin.Result, error) {
	return make([]plugin.Result, len(batch)), nil
}

// noisy prints where it should not.
type noisy struct{ luma }

func (noisy) Load(params json.RawMessage) error {
	fmt.Println("loading with", string(params))
	return nil
}

// samples returns n pictures that get brighter, in groups of two.
func samples(n int) (out []reward.Sample) {
	for i := range n {
		im := task.NewImage(3, 4, 8)
		for x := range min(i, 8) {
			im.Set(0, x, 0, 1)
		}
		im.Set(0, 7, 3, float32(i)/100)
		out = append(out, reward.Sample{Image: im, Group: i / 2, Prompt: task.Prompt{ID: uint32(10 + i), Text: fmt.Sprint("prompt ", i), Metadata: []byte(`{"n":1}`)}})
	}
	return out
}

// made makes a reward and closes it when the test is over.
func made(t *testing.T, kind string, params map[string]any, deps reward.Deps) reward.Reward {
	t.Helper()
	r, err := reward.New(kind, "mine", params, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reward.Close(r); err != nil {
			t.Error(err)
		}
	})
	return r
}
