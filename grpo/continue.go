package grpo

// Continue sets the number of iterations done, for a trainer whose weights, moving
// average and optimizer were restored. Nothing else depends on the past: prompts
// and noise are addressed by the iteration.
func (tr *Trainer) Continue(iteration int) { tr.iteration = iteration }
