package run

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/base"
	"flowgrpo/internal/config"
	"flowgrpo/internal/optim"
	"flowgrpo/policy"
	"flowgrpo/reward"
)

// A SetupError is what keeps a run from starting: a recipe, model, prompt file or
// reward that does not fit. Nothing has been written when it is returned.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *SetupError) Unwrap() error { return e.Err }

func setup(err error) error {
	if err == nil {
		return nil
	}
	return &SetupError{err}
}

// A Session is everything that a recipe names, opened and found to fit together.
type Session struct {
	Config  *config.Config
	Problem *Problem
	// Model samples and trains: with the recipe's guidance and a fresh adapter.
	Model *policy.Model

	base       policy.Theta  // what the run starts from, and KL is measured from
	baseDigest string        // of its weights
	rewards    *rewards      // nil: none
	headline   reward.Reward // what evaluations report first; nil: nothing is scored
	judge      reward.Reward // in the same unit; may be nil
	average    eval.Average
	workers    int
	devices    *devices
	encode     func(text string) policy.Condition
	conditions map[string]policy.Condition
}

// Open opens what a training recipe names. Every error is an [*config.Error] or a
// [*SetupError]. [Session.Fits] says whether the devices have the memory to train. The
// session is to be closed, as rewards may be processes.
func Open(c *config.Config) (*Session, error) {
	s, err := openToDraw(c)
	if err != nil {
		return nil, err
	}
	if err := s.openRewards(); err != nil {
		return nil, errors.Join(setup(err), s.Close())
	}
	return s, nil
}

// openToDraw opens what a training recipe names but for the rewards.
func openToDraw(c *config.Config) (*Session, error) {
	if err := c.CheckTrain(); err != nil {
		return nil, err
	}
	s, err := open(c)
	return s, setup(err)
}

func open(c *config.Config) (*Session, error) {
	problem, err := openProblem(c)
	if err != nil {
		return nil, err
	}
	s, err := newSession(c, problem)
	if err != nil {
		return nil, err
	}
	if s.Model, err = openModel(c); err != nil {
		return nil, err
	}
	if err := problem.checkShape(s.Model.Network.Shape()); err != nil {
		return nil, err
	}
	if err := problem.openImages(c, s.Model.Network.Shape()); err != nil {
		return nil, err
	}
	return s, s.prepare()
}

// Close ends the rewards. The session is not to be used any more.
func (s *Session) Close() error {
	var errs []error
	if s.rewards != nil {
		errs = append(errs, s.rewards.close())
	}
	if s.Problem != nil && s.Problem.references != nil {
		errs = append(errs, s.Problem.references.Close())
	}
	return errors.Join(errs...)
}

func newSession(c *config.Config, p *Problem) (*Session, error) {
	d, err := openDevices(c, thisMachine{})
	return &Session{
		Config: c, Problem: p, workers: workers(c.Rollout.Workers), devices: d, conditions: map[string]policy.Condition{},
	}, err
}

// openRewards makes the rewards of the recipe and tries them on the model's shape.
func (s *Session) openRewards() error {
	shape := s.Model.Network.Shape()
	if err := s.Problem.openReferences(s.Config, shape); err != nil {
		return err
	}
	var err error
	if s.rewards, err = openRewards(s.Config, s.Problem.deps); err != nil {
		return err
	}
	s.headline, s.judge, s.average = s.Problem.headline(s.Config, s.rewards.total)
	if err := s.rewards.try(s.Problem, shape); err != nil {
		return fmt.Errorf("%s: %w", s.Config.Path, err)
	}
	return nil
}

// prepare notes the base and adds the adapter and guidance.
func (s *Session) prepare() error {
	t := s.Config.Train
	s.baseDigest = digest(s.Model.Weights)
	if t.Mode == "lora" {
		l := policy.LoRA{Rank: t.LoRARank, Alpha: t.LoRAAlpha, Targets: t.LoRATargets}
		if err := s.Model.AddLoRA(l, s.Config.Seed); err != nil {
			return fmt.Errorf("%s: train.lora_targets: %w", s.Config.Path, err)
		}
	}
	s.base = s.Model.Reference()
	s.Model.Recompute = t.Recompute
	s.Model.Split = split(s.Config.Device.Products)
	if err := s.Model.Guide(t.Guidance); err != nil {
		return fmt.Errorf("%s: train.guidance = %g: %w", s.Config.Path, t.Guidance, err)
	}
	s.encode = s.Model.Text.Encode
	return nil
}

// openModel loads the model folder of a recipe, or the embedded base of its world.
func openModel(c *config.Config) (*policy.Model, error) {
	path := c.Model.Path
	if path == "" {
		return embeddedModel(c.Task.World)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("model.path = %q: there is no such folder", path)
	}
	path = modelFolder(path)
	return loadModel(os.DirFS(path), path)
}

// embeddedModel loads the embedded base model of a world.
func embeddedModel(world string) (*policy.Model, error) {
	folder, err := base.Open(world)
	if err != nil {
		return nil, err
	}
	return loadModel(folder, "the embedded base model "+world)
}

// loadModel loads a model folder whose text encoder can be run; name is how
// errors call it.
func loadModel(folder fs.FS, name string) (*policy.Model, error) {
	m, err := policy.Load(folder)
	if err != nil {
		return nil, &InputError{fmt.Errorf("%s: %w", name, err)}
	}
	if m.Text == nil {
		return nil, fmt.Errorf("%s: the folder has no text encoder that this program can run; use one that `finetune pretrain` or `finetune export` wrote", name)
	}
	return m, nil
}

// digest returns the SHA-256 of the values of w.
func digest(w *policy.Weights) string {
	h := sha256.New()
	buf := make([]byte, 0, 1<<12)
	data := w.Data()
	for i, v := range data {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if len(buf)+4 > cap(buf) || i == len(data)-1 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// checkBase returns an error unless the base model is the one that the run in the folder
// dir began with: what was trained fits no other. recorded is its digest, "" if unknown.
func (s *Session) checkBase(dir, recorded string) error {
	if recorded == "" || recorded == s.baseDigest {
		return nil
	}
	name := s.Config.Model.Path
	if name == "" {
		name = "this program's embedded model " + s.Config.Task.World
	}
	return fmt.Errorf("%s began with a base model of SHA-256 %.12s…, but %s has %.12s…; bring the former model back, or name its folder as model.path in %s",
		dir, recorded, name, s.baseDigest, filepath.Join(dir, configFile))
}

// condition returns the encoded text of a prompt. Not safe for concurrent use.
func (s *Session) condition(text string) policy.Condition {
	c, ok := s.conditions[text]
	if !ok {
		c = s.encode(text)
		s.conditions[text] = c
	}
	return c
}

// trainer returns a trainer of the session's model at iteration 0.
func (s *Session) trainer() (*grpo.Trainer, error) {
	c := s.Config
	theta := s.Model.Theta()
	pool, err := s.pool(theta, c.Rollout.Batch, true)
	if err != nil {
		return nil, err
	}
	backends, err := s.devices.backends()
	if err != nil {
		return nil, err
	}
	times := schedule(c.Rollout, s.Model.Network, c.Rollout.Steps)
	return grpo.NewTrainer(grpo.Settings{
		Model: s.Model, Reference: s.base, EMA: policy.NewEMA(theta, c.Train.EMADecay), Reward: s.rewards.total, Loss: loss(c.GRPO, s.rewards.total),
		Prompts: grpo.NewPrompts(c.Seed, s.Problem.Train, s.encode),
		Sampling: grpo.Sampling{
			Schedule: times, Dynamics: dynamics(c.Rollout, times), Window: window(c.Rollout), SharedNoise: c.Rollout.SharedNoise,
		},
		Seed: c.Seed, Groups: c.Rollout.Groups, GroupSize: c.Rollout.GroupSize, Keep: c.GRPO.Keep,
		Passes: c.GRPO.Passes, MicroBatch: c.GRPO.MicroBatch, Workers: s.workers, Backends: backends, OnLost: s.devices.lostBackend,
		Adam:    optim.NewAdamW(theta.Size(), adam(c.Optimizer, c.Train.Iterations*c.GRPO.Passes)),
		Rollout: pool,
	}), nil
}
