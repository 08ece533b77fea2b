package grpo

import "flowgrpo/sde"

// An anchor is a record of a step that is not trained. It has no surrogate; its
// penalty ½‖v - v_ref‖² is the KL divergence of the unit transition, whose V and Std
// are 1. An ODE step has no density, and so no KL of its own.
var unit = sde.Transition{X: 1, V: 1, Std: 1}

// anchors returns one record of a step that is not trained for the trajectory of
// every record of a pass, or none where the loss has no anchor term. The steps are
// dealt in turn, beginning at first, so that all are held alike.
func (tr *Trainer) anchors(records []record, plan sde.Plan, first int) []record {
	if tr.Loss.AnchorCoef == 0 {
		return nil
	}
	var free []int
	for k, trained := range plan.Train {
		if !trained {
			free = append(free, k)
		}
	}
	trained := plan.Trained()[0]
	var out []record
	for _, r := range records {
		if r.step == trained { // one record of each trajectory
			out = append(out, record{trajectory: r.trajectory, step: free[(first+len(out))%len(free)], anchor: true})
		}
	}
	return out
}
