package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/imagefolder"
	"flowgrpo/internal/optim"
	"flowgrpo/internal/pretrain"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/task"
)

// A Pretraining is everything that a pretraining recipe names, opened and found to
// fit together.
type Pretraining struct {
	*Session // of a model that is trained together with its text encoder
	source   task.Source
}

// OpenPretraining opens what a pretraining recipe names. Every error is an
// [*config.Error] or a [*SetupError]. The session is to be closed.
func OpenPretraining(c *config.Config) (*Pretraining, error) {
	if err := c.CheckPretrain(); err != nil {
		return nil, err
	}
	p, err := openPretraining(c)
	return p, setup(err)
}

func openPretraining(c *config.Config) (*Pretraining, error) {
	problem, source, err := openSource(c)
	if err != nil {
		return nil, err
	}
	text := policy.NewTextEncoder(c.Network.MaxTokens, c.Network.JointAttentionDim, c.Network.PooledProjectionDim,
		policy.Vocabulary(captions(problem.Train)))
	net, err := newNetwork(c, source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	s, err := newSession(c, problem)
	if err != nil {
		return nil, err
	}
	if _, err := s.devices.cards(); err != nil { // before anything is written
		return nil, err
	}
	s.Model, s.encode = policy.NewModel(&policy.Captioned{Network: net, Text: text}, nil, c.Seed), text.TokenCondition
	examples, err := miscaptioned(c.Pretrain, source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	if len(c.Reward) > 0 {
		if err := s.openRewards(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return &Pretraining{s, examples}, nil
}

// shaped is a source that knows the shape of its pictures.
type shaped interface {
	task.Source
	Shape() (c, h, w int)
}

// openSource opens the pictures to learn from, and the prompts to judge by.
func openSource(c *config.Config) (*Problem, shaped, error) {
	p := c.Pretrain
	if p.Images == "" {
		problem, err := openProblem(c)
		if err != nil {
			return nil, nil, err
		}
		return problem, problem.world, nil
	}
	folder, err := imagefolder.Open(p.Images, imagefolder.Options{
		C: p.Channels, H: p.Height, W: p.Width, Crop: crop(p.Crop), HeldOutFraction: p.HeldOutFraction, Seed: c.Seed,
	})
	if err != nil {
		return nil, nil, input(fmt.Errorf("pretrain.images: %w", err))
	}
	train, heldOut := folder.Split(task.Train), folder.Split(task.HeldOut)
	if heldOut.Len() == 0 {
		heldOut = train
	}
	problem := &Problem{Name: c.Task.World, Train: train.Prompts(), HeldOut: heldOut.Prompts(), real: heldOut}
	return problem, train, nil
}

// newNetwork returns the architecture of a recipe for the pictures of source.
func newNetwork(c *config.Config, source shaped) (policy.Network, error) {
	n := c.Network
	channels, h, w := source.Shape()
	side := (max(h, w) + n.PatchSize - 1) / n.PatchSize
	if n.PosEmbedMaxSize > 0 {
		side = n.PosEmbedMaxSize
	}
	net := &policy.MMDiT{
		SampleSize: max(h, w), PatchSize: n.PatchSize, InChannels: channels, OutChannels: channels,
		NumLayers: n.NumLayers, HeadDim: n.AttentionHeadDim, Heads: n.NumAttentionHeads,
		JointAttentionDim: n.JointAttentionDim, CaptionDim: n.NumAttentionHeads * n.AttentionHeadDim,
		PooledDim: n.PooledProjectionDim, PosEmbedMaxSize: side, DualAttentionLayers: n.DualAttentionLayers,
		QKNorm: n.QKNorm, Height: h, Width: w, Tokens: n.MaxTokens,
	}
	return net, net.Validate()
}

// pretrainSettings returns the settings of the trainer.
func pretrainSettings(c *config.Config, backends []graph.Backend) pretrain.Settings {
	p, o := c.Pretrain, c.Optimizer
	return pretrain.Settings{
		Backends: backends, Seed: c.Seed, Batch: p.Batch, MicroBatch: min(p.MicroBatch, p.Batch), Workers: workers(c.Rollout.Workers),
		EMADecay: p.EMADecay, TimeMean: p.TimeMean, TimeStd: p.TimeStd, Dropout: p.CaptionDropout,
		Optimizer: optim.Settings{
			LR: p.LR, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, WeightDecay: o.WeightDecay, ClipNorm: o.GradClip,
			Schedule: rate(p.Schedule, p.Warmup, p.Steps, p.FinalFraction),
		},
	}
}

// A pretrainRun is a pretraining at work.
type pretrainRun struct {
	*Pretraining
	options Options
	folder  *folder
	trainer *pretrain.Trainer
	judge   *evaluator
	tuned   *sampler
	started time.Time
	loss    float64     // summed since the last line
	lines   int         // steps since the last line
	score   eval.Number // of the latest evaluation
	best    eval.Number // of the scores so far; NaN before the first
	good    bool        // an evaluation scored at least stop_below
}

// Pretrain runs a pretraining recipe in a fresh folder; the model is saved as
// model/ within it, with half-precision weights if half is set. A run that is
// stopped saves the model too and returns [ErrStopped]; it cannot be resumed.
func Pretrain(ctx context.Context, p *Pretraining, o Options, half bool) error {
	if err := CheckFresh(o.Dir); err != nil {
		return err
	}
	if o.Progress == nil {
		o.Progress = Silent{}
	}
	if o.Stop == nil {
		o.Stop = context.Background()
	}
	info := newInfo(p.Session, o)
	info.Iterations = p.Config.Pretrain.Steps
	f, err := createFolder(o.Dir, info, o.Recipe, p.Config)
	if err != nil {
		return err
	}
	r := &pretrainRun{Pretraining: p, options: o, folder: f, started: time.Now(), score: eval.NaN(), best: eval.NaN()}
	if err := f.begin(); err != nil {
		return err
	}
	err = r.work(ctx, half)
	return f.end(err, time.Since(r.started).Seconds())
}

func (r *pretrainRun) work(ctx context.Context, half bool) error {
	if err := r.folder.openLogs(r.started, logMarks{}); err != nil {
		return err
	}
	r.Model.Recompute = r.Config.Pretrain.Recompute
	r.Model.Split = split(r.Config.Device.Products)
	r.saySlow(r.options.Progress)
	r.devices.onLost = func(f rollout.Failure) { r.folder.lost(f, r.options.Progress) }
	backends, err := r.devices.backends()
	if err != nil {
		return err
	}
	settings := pretrainSettings(r.Config, backends)
	settings.OnLost = r.devices.lostBackend
	r.trainer = pretrain.NewTrainer(r.Model, r.source, settings)
	if r.tuned, err = r.sampler(r.trainer.EMA.Average, nil); err != nil {
		return err
	}
	r.judge = r.evaluator(r.options.Progress)
	err = r.steps(ctx)
	if err != nil && !errors.Is(err, ErrStopped) {
		return err
	}
	if err := r.save(half); err != nil {
		return err // not ErrStopped, which says that there is a model
	}
	return err
}

// steps trains until the steps are done, the score is reached or the user stops.
func (r *pretrainRun) steps(ctx context.Context) error {
	p := r.Config.Pretrain
	r.options.Progress.Begin("pretraining", p.Steps)
	defer r.options.Progress.End()
	for i := 1; i <= p.Steps; i++ {
		if r.options.Stop.Err() != nil {
			return ErrStopped
		}
		stats, err := r.trainer.Step(ctx)
		if err != nil {
			return err
		}
		r.loss += stats.Loss
		r.lines++
		r.options.Progress.Advance(i, fmt.Sprintf("loss %.4f", r.loss/float64(r.lines)))
		due := p.EvalEvery > 0 && (every(i, p.EvalEvery) || i == p.Steps)
		if !due && !every(i, p.LogEvery) && i != p.Steps {
			continue
		}
		line := eval.Metrics{
			eval.KeyIteration: eval.Number(i), eval.KeyLossTotal: eval.Number(r.loss / float64(r.lines)),
			eval.KeyGradNorm: eval.Number(stats.Update.Norm), eval.KeyLR: eval.Number(stats.Update.LR),
		}
		r.loss, r.lines = 0, 0
		if due {
			if err := r.evaluate(ctx, i, line); err != nil {
				return err
			}
		}
		line[eval.KeySeconds] = eval.Number(time.Since(r.started).Seconds())
		if err := r.folder.log(line); err != nil {
			return err
		}
		if due && r.arrived(i) {
			return nil
		}
	}
	return nil
}

// arrived tells whether the score of step i is where the recipe wants to stop, and
// says so. It sees every evaluation: a score falls below stop_below if an earlier one
// did not.
func (r *pretrainRun) arrived(i int) bool {
	p, score, say := r.Config.Pretrain, float64(r.score), r.options.Progress.Say
	fell := r.good && score < p.StopBelow
	r.good = r.good || score >= p.StopBelow
	switch {
	case p.StopAt > 0 && score > p.StopAt:
		say("step %d: the score %.3f is above pretrain.stop_at = %g", i, score, p.StopAt)
	case p.StopBelow > 0 && i > p.CaptionErrorsAfter && fell:
		say("step %d: the score %.3f is below pretrain.stop_below = %g", i, score, p.StopBelow)
	default:
		return false
	}
	return true
}

// evaluate draws the pictures of step i and, where there is a reward, scores the
// held-out prompts.
func (r *pretrainRun) evaluate(ctx context.Context, i int, line eval.Metrics) error {
	clock := time.Now()
	set, images, err := r.judge.grid(ctx, r.tuned, i)
	if err != nil {
		return err
	}
	if err := r.folder.samples(set, images); err != nil {
		return err
	}
	if r.headline != nil {
		e, err := r.judge.course(ctx, r.tuned, i)
		if err != nil {
			return err
		}
		measureEvaluation(line, e)
		point, _ := pointOf(line)
		r.scored(i, point.Reward)
		r.options.Progress.Say("step %d: loss %.4f, held-out %s", i, line[eval.KeyLossTotal], describe(e.Modes[0].Score))
		if err := r.folder.evaluation(eval.EvaluationFile(i), e); err != nil {
			return err
		}
	}
	line[eval.KeyTimeEval] = eval.Number(time.Since(clock).Seconds())
	return nil
}

// scored notes the score of step i, and the first step with the highest as the best.
func (r *pretrainRun) scored(i int, score eval.Number) {
	r.score = score
	if score.Known() && !(score <= r.best) { // nothing is at most NaN
		r.best, r.folder.info.BestIteration = score, i
	}
}

// save writes the averaged weights as a model folder.
func (r *pretrainRun) save(half bool) error {
	m := r.trainer.Result()
	return policy.Save(r.folder.path("model"), m, m.Theta(), policy.SaveOptions{
		Half: half, Metadata: map[string]string{"run": r.folder.info.Name},
	})
}
