package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"flowgrpo/eval"
	"flowgrpo/internal/base"
	"flowgrpo/internal/config"
	"flowgrpo/internal/disk"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/task"
)

// A Target is a model that can be looked at: the result of a run, or a model
// folder.
type Target struct {
	*Session
	Name      string
	Iteration int // of the run, 0 for a base model
	theta     policy.Theta
	isModel   bool // a model folder or an embedded model, no run
}

// Title says which weights these are.
func (t *Target) Title() string {
	if t.isModel {
		return t.Name
	}
	return fmt.Sprintf("%s after iteration %d of %d", t.Name, t.Iteration, t.Config.Train.Iterations)
}

// IsRun reports whether path is the folder of a run.
func IsRun(path string) bool {
	_, err := os.Stat(filepath.Join(path, runFile))
	return err == nil
}

// IsPretraining reports whether path is the folder of a pretraining that has made
// its model.
func IsPretraining(path string) bool {
	info, err := os.Stat(filepath.Join(path, "model"))
	return err == nil && info.IsDir() && IsRun(path)
}

// CheckEmbedded loads the embedded model of a world and says what it is.
func CheckEmbedded(world string) (string, error) {
	m, err := embeddedModel(world)
	if err != nil {
		return "", err
	}
	s := m.Network.Shape()
	return fmt.Sprintf("%s: %d parameters, pictures of %d×%d×%d", world, len(m.Weights.Data()), s.Channels, s.Height, s.Width), nil
}

// OpenRun opens the averaged weights of a fine-tuning run at an iteration, at the
// latest one that was saved for step < 0, with sets applied to its recipe. A base model
// that is not the run's own is an error. There are no rewards: see [EvaluateRun].
func OpenRun(dir string, step int, sets []string) (*Target, error) {
	if !IsRun(dir) {
		return nil, setup(notARun(dir))
	}
	c, err := config.Load(filepath.Join(dir, configFile), sets)
	if err != nil {
		return nil, err
	}
	s, err := openToDraw(c)
	if err != nil {
		return nil, err
	}
	t := &Target{Session: s, Name: filepath.Base(dir), theta: s.Model.Theta().Copy()}
	if step == 0 {
		t.theta = s.base
		var info eval.RunInfo
		if err := readJSON(filepath.Join(dir, runFile), &info); err != nil {
			return nil, err
		}
		return t, setup(s.checkBase(dir, info.Environment[baseKey]))
	}
	return t, setup(t.restore(dir, step))
}

// EvaluateRun opens a run as [OpenRun] does, with its rewards, for [Target.Evaluate]. It is
// to be closed.
func EvaluateRun(dir string, step int, sets []string) (*Target, error) {
	t, err := OpenRun(dir, step, sets)
	if err != nil {
		return nil, err
	}
	if err := t.openRewards(); err != nil {
		return nil, errors.Join(setup(err), t.Close())
	}
	return t, nil
}

// restore loads the averaged weights of a checkpoint.
func (t *Target) restore(dir string, step int) error {
	folder := disk.Dir(dir)
	steps, err := checkpoints(folder)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return fmt.Errorf("%s has no checkpoint yet", dir)
	}
	if step < 0 {
		step = steps[len(steps)-1]
	}
	if !slices.Contains(steps, step) {
		return fmt.Errorf("%s has no checkpoint of iteration %d; it has %v", dir, step, steps)
	}
	m, err := verify(folder, checkpointDir(step))
	if err != nil {
		return &InputError{fmt.Errorf("%s: %w", dir, err)}
	}
	if err := t.checkBase(dir, m.State.Base); err != nil {
		return err
	}
	t.Iteration = step
	return input(loadTensors(folder, path.Join(checkpointDir(step), emaFile), tensors(t.trained(), "", t.theta.Trainable())))
}

// OpenModel opens a model folder, the model/ of a pretraining, or the embedded
// model of that name, for drawing pictures; c gives the guidance, and the schedule unless
// the folder's scheduler has a shift: then pictures are drawn as diffusers draws them.
func OpenModel(name string, c *config.Config) (*Target, error) {
	m, err := modelCalled(name)
	if err != nil {
		return nil, setup(err)
	}
	own := *c
	if m.Shift > 0 && m.Shift != 1 {
		own.Rollout.Schedule, own.Rollout.Shift = "sd3", m.Shift
	}
	s, err := newSession(&own, nil)
	if err != nil {
		return nil, setup(err)
	}
	s.Model = m
	s.base = m.Reference()
	if err := m.Guide(c.Train.Guidance); err != nil {
		return nil, setup(fmt.Errorf("%s: train.guidance = %g: %w", name, c.Train.Guidance, err))
	}
	s.encode = m.Text.Encode
	return &Target{Session: s, Name: name, theta: m.Theta(), isModel: true}, nil
}

func modelCalled(name string) (*policy.Model, error) {
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		m, err := embeddedModel(name)
		if err != nil {
			return nil, fmt.Errorf("%s: no such folder, and %w", name, err)
		}
		return m, nil
	}
	name = modelFolder(name)
	return loadModel(os.DirFS(name), name)
}

// modelFolder returns the model/ of a pretraining, or path itself.
func modelFolder(path string) string {
	if IsPretraining(path) {
		return filepath.Join(path, "model")
	}
	return path
}

// EvaluateModel opens a model folder, the model/ of a pretraining, or the embedded
// model of that name, for [Target.Evaluate] by the protocol of c. It is to be closed.
func EvaluateModel(name string, c *config.Config) (*Target, error) {
	own := *c
	if _, err := os.Stat(name); err == nil {
		name = modelFolder(name)
		own.Model.Path = name
	} else if _, err := base.Open(name); err != nil {
		return nil, setup(fmt.Errorf("%s: no such folder, and %w", name, err))
	} else {
		own.Task.World, own.Model.Path = name, ""
	}
	s, err := Open(&own)
	if err != nil {
		return nil, err
	}
	return &Target{Session: s, Name: name, theta: s.base, isModel: true}, nil
}

// Draw draws n pictures of every prompt with the ODE in the given number of steps.
// Equal seeds draw from equal noise.
func (t *Target) Draw(ctx context.Context, prompts []string, n, steps int, seed int64, progress Progress) ([]task.Image, error) {
	t.saySlow(progress)
	t.sayLost(progress)
	s, err := t.sampler(t.theta, nil)
	if err != nil {
		return nil, err
	}
	s.seed = seed
	list := make([]task.Prompt, len(prompts))
	for i, text := range prompts {
		list[i] = task.Prompt{ID: uint32(i), Text: text}
	}
	return s.Sample(ctx, list, n, eval.Mode{Name: "ode", Steps: steps})
}

// sayLost makes progress tell of devices that are lost.
func (t *Target) sayLost(progress Progress) {
	t.devices.onLost = func(f rollout.Failure) {
		progress.Say("warning: device %s is lost and does no more work: %v", f.Device, f.Err)
	}
}

// Evaluate runs the full protocol.
func (t *Target) Evaluate(ctx context.Context, progress Progress) (eval.Evaluation, error) {
	if own, drawn := t.Model.Shift, shift(t.Config.Rollout, t.Model.Network); t.isModel && own > 0 && own != drawn {
		progress.Say("warning: the model's scheduler has a shift of %g, the recipe draws with %g; "+
			"--set rollout.schedule=sd3 --set rollout.shift=%g draws as the model wants it", own, drawn, own)
	}
	e := t.evaluator(progress)
	t.saySlow(progress)
	t.sayLost(progress)
	var from *sampler
	var err error
	if t.Iteration > 0 {
		if from, err = t.sampler(t.base, nil); err != nil {
			return eval.Evaluation{}, err
		}
	}
	tuned, err := t.sampler(t.theta, from)
	if err != nil {
		return eval.Evaluation{}, err
	}
	full, _, err := e.full(ctx, tuned, t.Iteration)
	return full, err
}

// Export writes the model to dir, which must not exist or be empty.
func (t *Target) Export(dir string, format Format) error {
	return t.write(dir, format, t.theta, t.Name)
}
