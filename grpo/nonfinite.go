package grpo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/optim"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// maxLeftOut is the number of updates in a row that are left out before a trainer gives up:
// the weights do not change any more, and what is wrong does not go away.
const maxLeftOut = 3

// A NonFiniteError reports a number that is NaN or infinite, in what an iteration has drawn
// or computed. The update that needed it is left out: weights, moments and moving average
// are what they were.
type NonFiniteError struct {
	What    string   // such as `gradient of "proj_out.bias"`
	Value   float64  // NaN or an infinity
	Step    int      // denoising step; -1: of none
	Prompts []string // that it is of; nil: of none in particular
	InARow  int      // updates left out in a row, with this one

	at int // where among the values that were looked at
}

func (e *NonFiniteError) Error() string {
	text := e.What + " is not finite"
	if e.InARow >= maxLeftOut {
		text += " for the 3rd update in a row"
	}
	text += fmt.Sprintf(" (%g", e.Value)
	if e.Step >= 0 {
		text += fmt.Sprintf(", step %d", e.Step)
	}
	for i, p := range e.Prompts {
		const most = 3
		if i == most {
			text += fmt.Sprintf(" and %d more", len(e.Prompts)-most)
			break
		}
		text += fmt.Sprintf(", prompt %q", clip(p))
	}
	return text + ")"
}

// clip shortens a prompt for a message.
func clip(prompt string) string {
	const most = 60
	if r := []rune(prompt); len(r) > most {
		return string(r[:most]) + "…"
	}
	return prompt
}

// leaveOut notes in stats that an update is left out because of e. It returns e if it is
// one too many.
func (tr *Trainer) leaveOut(stats *Stats, pass Pass, e *NonFiniteError) error {
	tr.leftOut++
	e.InARow, pass.Skipped = tr.leftOut, e
	stats.add(pass)
	if tr.leftOut >= maxLeftOut {
		return e
	}
	return nil
}

// unknownPass is a pass of which nothing is known.
func unknownPass() Pass { return Pass{Loss: math.NaN(), Penalty: math.NaN(), Anchor: math.NaN()} }

// checkDrawn returns the first number of the trajectories that is not finite, by sample
// and step; or of the weights, which is why.
func (tr *Trainer) checkDrawn(trajectories []rollout.Trajectory) *NonFiniteError {
	for _, t := range trajectories {
		e := checkTrajectory(t)
		if e == nil {
			continue
		}
		if of, value := badWeight(tr.Model.Theta()); of != "" {
			e.What, e.Value, e.Step = of, value, -1
		}
		e.Prompts = tr.promptsOf([]record{{trajectory: &t}})
		return e
	}
	return nil
}

func checkTrajectory(t rollout.Trajectory) *NonFiniteError {
	for k, state := range t.States {
		what := "state of a rollout"
		if k == len(t.States)-1 {
			what = "picture of a rollout"
		}
		if e := checkValues(what, state); e != nil {
			e.Step = max(0, k-1) // that led to it
			return e
		}
		if k == len(t.Logp) {
			break
		}
		e := checkValues("velocity of a rollout", t.Velocities[k])
		if e == nil && !finite(t.Logp[k]) {
			e = &NonFiniteError{What: "log-probability of a rollout", Value: t.Logp[k]}
		}
		if e != nil {
			e.Step = k
			return e
		}
	}
	return nil
}

// checkValues returns the first of the values x of what that is not finite, with Step -1.
func checkValues(what string, x []float32) *NonFiniteError {
	if kernel.AllFinite(x) {
		return nil
	}
	i := slices.IndexFunc(x, func(v float32) bool { return !finite(float64(v)) })
	return &NonFiniteError{What: what, Value: float64(x[i]), Step: -1, at: i}
}

func finite(x float64) bool { return x-x == 0 }

// badWeight names the first weight that is not finite, "" if there is none.
func badWeight(theta policy.Theta) (of string, value float64) {
	for _, w := range []*policy.Weights{theta.Adapter, theta.Base} {
		if w == nil {
			continue
		}
		if e := checkValues("value", w.View()); e != nil {
			return fmt.Sprintf("value of %q", w.ParameterAt(e.at).Name), e.Value
		}
	}
	return "", 0
}

// checkAdvantages returns the first advantage that is not finite.
func (tr *Trainer) checkAdvantages(advantages [][]float64) *NonFiniteError {
	for g, list := range advantages {
		for _, a := range list {
			if !finite(a) {
				prompt := tr.Prompts.Deal(tr.iteration, tr.Groups)[g].Text
				return &NonFiniteError{What: "advantage", Value: a, Step: -1, Prompts: []string{prompt}}
			}
		}
	}
	return nil
}

// checkTerms returns the first number of the terms of records that is not finite.
func (tr *Trainer) checkTerms(records []record, terms []Term) *NonFiniteError {
	for i, t := range terms {
		for _, x := range []struct {
			what  string
			value float64
		}{
			{"log-probability of the update", t.DeltaLogp}, {"log-ratio", t.LogRatio},
			{"policy loss", t.Surrogate}, {"KL divergence", t.KL},
		} {
			if !finite(x.value) {
				return &NonFiniteError{What: x.what, Value: x.value, Step: t.Step, Prompts: tr.promptsOf(records[i : i+1])}
			}
		}
	}
	return nil
}

// promptsOf returns the prompts of records, each once, in the order of the deal.
func (tr *Trainer) promptsOf(records []record) []string {
	dealt := tr.Prompts.Deal(tr.iteration, tr.Groups)
	var prompts []string
	for g := range dealt {
		of := func(r record) bool { return int(r.trajectory.Request.Prompt) == g }
		if text := dealt[g].Text; slices.ContainsFunc(records, of) && !slices.Contains(prompts, text) {
			prompts = append(prompts, text)
		}
	}
	return prompts
}

// apply makes the step of the optimizer and of the moving average, or neither if a number
// of either is not finite, or would not be.
func (tr *Trainer) apply() (pass Pass, bad *NonFiniteError) {
	theta, average := tr.Model.Theta(), tr.EMA.Average.Trained()
	if e := checkValues("moving average", average.View()[:average.Size()]); e != nil {
		e.What += fmt.Sprintf(" of %q", average.ParameterAt(e.at).Name)
		return pass, e
	}
	update, err := tr.Adam.Step(theta.Trainable(), tr.grad)
	if e, ok := errors.AsType[*optim.NonFiniteError](err); ok {
		name := theta.Trained().ParameterAt(e.Index).Name
		return pass, &NonFiniteError{What: fmt.Sprintf("%s of %q", e.Of, name), Value: float64(e.Value), Step: -1}
	}
	return Pass{Update: update, EMA: tr.EMA.Update(theta)}, nil
}

// suspects returns the prompts of the first micro-batch of records whose own gradient is
// not finite; all if there is none, and it is their sum that is not. It overwrites tr.grad.
func (tr *Trainer) suspects(ctx context.Context, records []record, transitions []sde.Transition) ([]string, error) {
	for chunk := range slices.Chunk(records, tr.MicroBatch) {
		if _, err := tr.gradient(ctx, chunk, transitions); err != nil {
			return nil, err
		}
		if !kernel.AllFinite(tr.grad) {
			return tr.promptsOf(chunk), nil
		}
	}
	return tr.promptsOf(records), nil
}
