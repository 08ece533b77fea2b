package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"flowgrpo/reward"
	"flowgrpo/task"
)

// A Mode is a way to draw samples for an evaluation.
type Mode struct {
	Name       string `json:"name"`
	Steps      int    `json:"steps"`
	Stochastic bool   `json:"stochastic"` // SDE with the training dynamics; false: ODE
}

// The modes of the standard protocol. ODE40 is the headline: the model as it will
// be used. SDE10 has the dynamics and the number of steps of training, with noise at all
// steps but the last, whatever the window; SDE40 is between the two.
var (
	ODE40 = Mode{Name: "ode40", Steps: 40}
	SDE40 = Mode{Name: "sde40", Steps: 40, Stochastic: true}
	SDE10 = Mode{Name: "sde10", Steps: 10, Stochastic: true}
)

// A Sampler draws pictures from a model.
type Sampler interface {
	// Sample returns len(prompts)·perPrompt pictures: sample j of prompts[i] is
	// at i·perPrompt+j. Its noise is addressed by the evaluation seed, the
	// prompt's ID and j (purpose EvalNoise), so that two models and two calls
	// start from the same noise.
	Sample(ctx context.Context, prompts []task.Prompt, perPrompt int, mode Mode) ([]task.Image, error)
}

// A Divergence is a Sampler that also knows how far its model is from the base.
type Divergence interface {
	// KL returns the KL divergence of the latest stochastic Sample's path to the
	// base model's, in nats per sample summed over steps, and false if unknown.
	KL() (float64, bool)
}

// A Protocol is the fixed procedure of an evaluation: the same prompts, noise,
// modes and scorers each time. It is not changed by Run and safe for concurrent
// use if its scorers are.
type Protocol struct {
	Prompts   []task.Prompt
	PerPrompt int             // samples per prompt; diversity needs 2
	Reward    reward.Reward   // the headline; its Parts are reported as rewards
	Extra     []reward.Reward // reported under their names, in no mean
	Judge     reward.Reward   // in the unit of Reward, seen by no training; may be nil
	Options   Options
	// Waiting, if not nil, is called when pictures are drawn and scores are waited for, and
	// what it returns when they are there.
	Waiting func() (done func())
}

// A ModeScore is one mode of an evaluation.
type ModeScore struct {
	Mode    Mode    `json:"mode"`
	Score   Score   `json:"score"`
	KL      Number  `json:"kl_to_base"` // nats per sample over the path; null for the ODE
	Seconds float64 `json:"seconds"`
	Rows    []Row   `json:"rows"`
}

// An Evaluation is one file of a run's eval folder.
type Evaluation struct {
	Iteration int         `json:"iteration"` // 0 is the base model
	Weights   string      `json:"weights"`   // "base", or "ema" for the moving average
	Modes     []ModeScore `json:"modes"`
}

// Find returns the mode called name.
func (e Evaluation) Find(name string) (ModeScore, bool) {
	for _, m := range e.Modes {
		if m.Mode.Name == name {
			return m, true
		}
	}
	return ModeScore{}, false
}

// Run evaluates the sampler's model in one mode. It returns the pictures too, in
// the order of the rows. A sample that a scorer could not judge is a row with an
// error; Run fails only if sampling or a whole scorer does.
func (p *Protocol) Run(ctx context.Context, s Sampler, mode Mode) (ModeScore, []task.Image, error) {
	start := time.Now()
	images, err := s.Sample(ctx, p.Prompts, p.PerPrompt, mode)
	if err != nil {
		return ModeScore{}, nil, fmt.Errorf("eval: sampling in mode %s: %w", mode.Name, err)
	}
	if len(images) != len(p.Prompts)*p.PerPrompt {
		return ModeScore{}, nil, errors.New("eval: the sampler returned a wrong number of pictures")
	}
	rows, err := p.rows(ctx, images)
	if err != nil {
		return ModeScore{}, nil, err
	}
	m := ModeScore{Mode: mode, Score: Summarize(rows, images, p.Options), KL: NaN(), Rows: rows}
	if d, ok := s.(Divergence); ok && mode.Stochastic {
		if kl, known := d.KL(); known {
			m.KL = Number(kl)
		}
	}
	m.Seconds = time.Since(start).Seconds()
	return m, images, nil
}

// rows scores every picture. The samples of a prompt are a group.
func (p *Protocol) rows(ctx context.Context, images []task.Image) ([]Row, error) {
	if p.Waiting != nil {
		defer p.Waiting()()
	}
	batch := make([]reward.Sample, len(images))
	rows := make([]Row, len(images))
	for i, img := range images {
		prompt := p.Prompts[i/p.PerPrompt]
		batch[i] = reward.Sample{Prompt: prompt, Image: img, Group: i / p.PerPrompt}
		rows[i] = Row{Prompt: prompt.ID, Text: prompt.Text, Category: prompt.Category,
			Sample: i % p.PerPrompt, Reward: NaN(), Judge: NaN(), Rewards: map[string]Number{}}
		for _, name := range p.terms() {
			rows[i].Rewards[name] = NaN()
		}
	}
	results, err := score(ctx, p.Reward, batch)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		if r.Err != nil {
			rows[i].Error = r.Err.Error()
			rows[i].failed(r.Err)
			continue
		}
		rows[i].Reward = Number(r.Score)
		for name, v := range r.Parts {
			rows[i].Rewards[p.part(name)] = Number(v)
		}
	}
	return rows, p.second(ctx, batch, rows)
}

// failed notes why a reward could not score r.
func (r *Row) failed(err error) {
	for _, f := range reward.Causes(err) {
		if cause := fmt.Sprintf("%s: %s", f.Reward, f.Reason); !slices.Contains(r.Causes, cause) {
			r.Causes = append(r.Causes, cause)
		}
	}
}

// terms returns the names of the rewards that the headline is the sum of, none if it is no sum.
func (p *Protocol) terms() []string {
	var names []string
	if sum, ok := p.Reward.(*reward.Weighted); ok {
		for _, t := range sum.Terms() {
			names = append(names, t.Reward.Name())
		}
	}
	return names
}

// part returns the full name of a part of the headline: those of a sum have it.
func (p *Protocol) part(name string) string {
	if _, ok := p.Reward.(*reward.Weighted); ok {
		return name
	}
	return p.Reward.Name() + "/" + name
}

// second adds the readings of the extra rewards and of the judge.
func (p *Protocol) second(ctx context.Context, batch []reward.Sample, rows []Row) error {
	for _, extra := range p.Extra {
		results, err := score(ctx, extra, batch)
		if err != nil {
			return err
		}
		for i, r := range results {
			rows[i].Rewards[extra.Name()] = NaN()
			if r.Err != nil {
				rows[i].failed(r.Err)
				continue
			}
			rows[i].Rewards[extra.Name()] = Number(r.Score)
			for name, v := range r.Parts {
				rows[i].Rewards[extra.Name()+"/"+name] = Number(v)
			}
		}
	}
	if p.Judge == nil {
		return nil
	}
	results, err := score(ctx, p.Judge, batch)
	for i, r := range results {
		if r.Err != nil {
			rows[i].failed(r.Err)
			continue
		}
		rows[i].Judge = Number(r.Score)
	}
	return err
}

func score(ctx context.Context, r reward.Reward, batch []reward.Sample) ([]reward.Result, error) {
	results, err := r.Score(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("eval: scoring with %s: %w", r.Name(), err)
	}
	if len(results) != len(batch) {
		return nil, fmt.Errorf("eval: %s returned %d results for %d samples", r.Name(), len(results), len(batch))
	}
	return results, nil
}
