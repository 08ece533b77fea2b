package run

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/crashfs"
	"flowgrpo/internal/optim"
	"flowgrpo/policy"
)

// digestOf saves c and returns the SHA-256 of all files of the checkpoint.
func digestOf(t *testing.T, c *checkpoint, params []policy.Parameter) string {
	t.Helper()
	folder := crashfs.New()
	if err := c.save(folder, params); err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, name := range append([]string{manifestFile}, checkpointFiles...) {
		h.Write(read(folder, checkpointDir(c.State.Iteration)+"/"+name))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// change gives v another value. It fails for a type that checkpoints have no codec for.
func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch x := v.Addr().Interface().(type) {
	case *int:
		*x++
	case *float64:
		*x += 0.5
	case *int64:
		*x++
	case *string:
		*x += "x"
	case *[]int:
		*x = append(slices.Clone(*x), 1)
	case *[]string:
		*x = append(slices.Clone(*x), "x")
	case *map[string]string:
		*x = map[string]string{"changed": "1"}
	case *failures:
		*x = append(slices.Clone(*x), tally{Samples: 1})
	case *[]float32:
		*x = slices.Clone(*x)
		(*x)[len(*x)-1] += 1
	case *eval.Metrics:
		*x = eval.Metrics{"changed": 1}
	default:
		t.Fatalf("a checkpoint has a field of type %v, which this test cannot change", v.Type())
	}
}

// fields calls f for every field of the struct v that is not a struct.
func fields(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		name := path + v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Struct {
			fields(v.Field(i), name+".", f)
			continue
		}
		f(name, v.Field(i))
	}
}

// Every field of a checkpoint changes its digest and comes back when it is loaded: there
// is none without a codec.
func TestCheckpointIsClosed(t *testing.T) {
	plain := digestOf(t, numbered(4, 1), fewParams)
	if again := digestOf(t, numbered(4, 1), fewParams); again != plain {
		t.Error("equal checkpoints have different digests")
	}
	seen := map[string]string{plain: "nothing"}
	fields(reflect.ValueOf(*numbered(4, 1)), "", func(name string, _ reflect.Value) {
		c := numbered(4, 1)
		at := reflect.ValueOf(c).Elem()
		for part := range strings.SplitSeq(name, ".") {
			at = at.FieldByName(part)
		}
		change(t, at)
		digest := digestOf(t, c, fewParams)
		if other, ok := seen[digest]; ok {
			t.Errorf("to change %s gives the digest of changing %s", name, other)
		}
		seen[digest] = name
		folder := crashfs.New()
		if err := c.save(folder, fewParams); err != nil {
			t.Fatal(err)
		}
		got, _, err := loadNewest(folder, fewParams)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c, got, cmp.Comparer(eval.Number.Equal)); d != "" {
			t.Errorf("%s is lost (-saved +loaded)\n%s", name, d)
		}
	})
	if len(seen) < 10 {
		t.Errorf("only %d fields were changed", len(seen)-1)
	}
}

// What a run changes as it works, by type and field: where a checkpoint has it, or why it
// has none. A field that is not here fails TestStateIsClosed: whoever adds one decides
// whether a run could go on without it.
var runState = map[reflect.Type]map[string]string{
	reflect.TypeFor[trainRun](): {
		"session": "of the recipe", "options": "of the command line", "folder": "run.json; the best iteration is State.Best",
		"trainer": "below", "judge": "of the recipe", "base": "of the recipe", "tuned": "draws with the average",
		"points": "metrics.jsonl, up to State.Iteration", "warned": "State.Warned", "failures": "State.Failures", "rollbacks": "State.Rollbacks",
		"pending": "State.Pending", "samples": "State.Samples", "before": "State.Seconds", "started": "State.Seconds", "saved": "of this process",
	},
	reflect.TypeFor[grpo.Trainer](): {
		"Settings": "below", "team": "computes, and keeps nothing", "mu": "of this process", "references": "computes, and keeps nothing",
		"grad": "made anew for every update", "iteration": "State.Iteration", "leftOut": "State.LeftOut",
		"past": "taken before the updates of an iteration, which a checkpoint is never amid",
	},
	reflect.TypeFor[grpo.Settings](): {
		"Model": "Weights", "Reference": "what the run began with: State.Base", "EMA": "below", "Adam": "below",
		"Rollout": "draws by address, and keeps nothing", "Prompts": "dealt by iteration", "Reward": "of the recipe",
		"Loss": "of the recipe", "Sampling": "of the recipe", "Seed": "of the recipe", "Groups": "of the recipe", "GroupSize": "of the recipe",
		"Keep": "of the recipe", "Passes": "of the recipe", "MicroBatch": "of the recipe", "Workers": "of the recipe",
		"Backends": "of this process", "OnLost": "of this process", "Waiting": "of this process",
	},
	reflect.TypeFor[policy.EMA]():   {"Decay": "of the recipe", "Average": "Average", "Updates": "State.EMAUpdates"},
	reflect.TypeFor[optim.AdamW]():  {"Settings": "of the recipe", "M": "M", "V": "V", "Updates": "State.AdamUpdates"},
	reflect.TypeFor[policy.Theta](): {"Base": "Weights, or not trained", "Adapter": "Weights"},
}

func TestStateIsClosed(t *testing.T) {
	for typ, known := range runState {
		for i := range typ.NumField() {
			if name := typ.Field(i).Name; known[name] == "" {
				t.Errorf("%v.%s is in no checkpoint, and nothing says why: add it to checkpoint, or to runState with the reason", typ, name)
			}
		}
		if typ.NumField() != len(known) {
			t.Errorf("runState has %d fields of %v, which has %d", len(known), typ, typ.NumField())
		}
	}
}

// A trainer's state is captured, each part of it changes the checkpoint, and restore
// brings it back.
func TestCaptureAndRestore(t *testing.T) {
	fresh := func() *grpo.Trainer {
		theta := policy.Theta{Base: policy.NewWeights(fewParams)}
		return &grpo.Trainer{Settings: grpo.Settings{
			Model: &policy.Model{Weights: theta.Base}, EMA: policy.NewEMA(theta, 0.9), Adam: optim.NewAdamW(theta.Size(), optim.Settings{}),
		}}
	}
	set := func(data []float32, v float32) {
		for i := range data {
			data[i] = v + float32(i)
		}
	}
	used := func() *grpo.Trainer {
		tr := fresh()
		set(tr.Model.Theta().Trainable(), 1)
		set(tr.EMA.Average.Trainable(), 2)
		set(tr.Adam.M, 3)
		set(tr.Adam.V, 4)
		tr.EMA.Updates, tr.Adam.Updates = 5, 6
		tr.Continue(7, 1)
		return tr
	}
	digest := func(tr *grpo.Trainer) string {
		c := capture(tr, checkpointState{Samples: 8})
		return digestOf(t, &c, fewParams)
	}
	seen := map[string]string{digest(used()): "nothing"}
	for name, do := range map[string]func(tr *grpo.Trainer){
		"weights":           func(tr *grpo.Trainer) { tr.Model.Theta().Trainable()[11]++ },
		"average":           func(tr *grpo.Trainer) { tr.EMA.Average.Trainable()[0]++ },
		"age of average":    func(tr *grpo.Trainer) { tr.EMA.Updates++ },
		"first moments":     func(tr *grpo.Trainer) { tr.Adam.M[5]++ },
		"second moments":    func(tr *grpo.Trainer) { tr.Adam.V[6]++ },
		"optimizer updates": func(tr *grpo.Trainer) { tr.Adam.Updates++ },
		"iteration":         func(tr *grpo.Trainer) { tr.Continue(9, 1) },
		"updates left out":  func(tr *grpo.Trainer) { tr.Continue(7, 2) },
	} {
		tr := used()
		do(tr)
		d := digest(tr)
		if other, ok := seen[d]; ok {
			t.Errorf("to change the %s gives the digest of changing the %s", name, other)
		}
		seen[d] = name
		c, restored := capture(tr, checkpointState{Samples: 8}), fresh()
		c.restore(restored)
		if digest(restored) != d {
			t.Errorf("restored with another digest after a change of the %s", name)
		}
	}
}
