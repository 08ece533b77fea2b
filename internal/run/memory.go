package run

import (
	"strings"

	"flowgrpo/policy"
)

// Memory is what a training run needs of the machine's memory, in bytes. Buffers of programs are planned when they
// are compiled, so that this is known before anything runs.
type Memory struct {
	Weights      int `json:"weights"`      // as they are, and packed for the products
	Optimizer    int `json:"optimizer"`    // moving average, moments, gradient and its partial sums; what several updates are taken back to
	Gradient     int `json:"gradient"`     // buffers of the program of one gradient, per worker
	Velocities   int `json:"velocities"`   // buffers of the programs of velocities, per worker
	Trajectories int `json:"trajectories"` // of one iteration
	Conditions   int `json:"conditions"`   // encoded training prompts, which are kept
	Total        int `json:"total"`

	GPU *GPUMemory `json:"gpu,omitempty"` // what it needs of a GPU
}

// memory plans the memory of a run that trains that many steps of a trajectory.
func (s *Session) memory(trainedSteps int) (Memory, error) {
	theta, trained := s.Model.Theta(), s.Model.Theta().Size()
	shape := s.Model.Network.Shape()
	m := Memory{Trajectories: s.trajectories(trainedSteps)}
	m.Conditions = 4 * len(s.Problem.Train) * (shape.Tokens*shape.Joint + shape.Pooled)
	// What is trained comes twice: beside the base or an adapter on it.
	m.Weights = 4 * (len(s.Model.Weights.Data()) + trained)
	m.Optimizer = 4*(1+2+1)*trained + policy.TeamBytes(trained)
	if s.Config.GRPO.Passes > 1 {
		m.Optimizer += 4 * (1 + 1 + 2) * trained
	}
	var err error
	if m.GPU, err = s.gpuMemory(); err != nil {
		return m, setup(err)
	}
	if s.Config.Device.Use != "gpu" {
		err = s.processorMemory(&m, theta)
	}
	m.Total = m.Weights + m.Optimizer + s.workers*(m.Gradient+m.Velocities) + m.Trajectories + m.Conditions
	return m, err
}

// processorMemory adds what the programs of the processor need; with GPUs too it computes
// velocities alone.
func (s *Session) processorMemory(m *Memory, theta policy.Theta) (err error) {
	r := s.Model.NewReplica(theta)
	if m.GPU == nil {
		if m.Gradient, err = s.gradientBytes(r, s.Config.GRPO.MicroBatch); err != nil {
			return err
		}
	}
	m.Weights += s.matrices(theta, r.MultipliesBack)
	m.Velocities, err = s.velocityBytes()
	return err
}

// matrices returns the bytes of the packed matrices of what is trained, of the moving average
// and of the reference, given what gradients multiply by.
func (s *Session) matrices(theta policy.Theta, back func(name string) bool) int {
	total := s.Model.MatrixBytes(theta, back) + s.Model.MatrixBytes(theta, nil)
	if theta.Adapter == nil {
		return total + s.Model.MatrixBytes(s.base, nil)
	}
	return total + s.Model.MatrixBytes(s.base, func(name string) bool { // shared by all three
		_, adapted := theta.Adapter.Lookup(strings.TrimSuffix(name, ".weight") + ".lora_A.weight")
		return back(name) && !adapted
	})
}

// trajectories returns the bytes of what the rollout of an iteration keeps: all states, and
// the velocities of the trained steps where the ratio needs them.
func (s *Session) trajectories(trainedSteps int) int {
	c := s.Config
	vectors := c.Rollout.Steps + 1
	if ratio(c.GRPO.Ratio).Corrected() {
		vectors += trainedSteps
	}
	return 4 * c.Rollout.Groups * c.Rollout.GroupSize * vectors * s.Model.Network.Shape().Dim()
}

// gradientBytes returns the bytes of the programs that the worker of the update with r runs, in
// one memory: that of a gradient, and that of the reference if the loss has one.
func (s *Session) gradientBytes(r *policy.Replica, batch int) (int, error) {
	objective := loss(s.Config.GRPO, s.rewards.total)
	if err := r.PlanGradient(objective.Objective(), batch); err != nil || !objective.Refers() {
		return r.Bytes(), err
	}
	reference := r.Beside(s.base)
	err := reference.Plan(batch)
	return max(r.Bytes(), reference.Bytes()), err
}

// velocityBytes returns the bytes of the programs of velocities of one worker: of rollout,
// and of the evaluations of what is trained and of its base.
func (s *Session) velocityBytes() (int, error) {
	c, theta := s.Config, s.Model.Theta()
	type use struct {
		theta policy.Theta
		batch int
	}
	uses := []use{{theta, c.Rollout.Batch}, {theta, c.Eval.Batch}, {s.base, c.Eval.Batch}}
	total := 0
	for _, u := range uses {
		r := s.Model.NewReplica(u.theta)
		if err := r.Plan(u.batch); err != nil {
			return 0, err
		}
		total += r.Bytes()
	}
	return total, nil
}
