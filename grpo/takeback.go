package grpo

// A past is what the updates of an iteration change, as it was before them.
type past struct {
	weights, average, m, v       []float32 // nil where an iteration has one update
	averaged, applied, leftInRow int
}

// remember keeps what is about to change, so that [Trainer.takeBack] can bring it back. Of
// one update alone there is nothing to take back: nothing comes after it that could fail.
func (tr *Trainer) remember() {
	p := &tr.past
	p.averaged, p.applied, p.leftInRow = tr.EMA.Updates, tr.Adam.Updates, tr.leftOut
	if tr.Passes == 1 {
		return
	}
	theta, average := tr.Model.Theta().Trained(), tr.EMA.Average.Trained()
	for _, x := range []struct {
		kept *[]float32
		live []float32
	}{{&p.weights, theta.View()[:theta.Size()]}, {&p.average, average.View()[:average.Size()]}, {&p.m, tr.Adam.M}, {&p.v, tr.Adam.V}} {
		*x.kept = append((*x.kept)[:0], x.live...)
	}
}

// takeBack makes the trainer what it was when it remembered.
func (tr *Trainer) takeBack() {
	p := &tr.past
	tr.EMA.Updates, tr.Adam.Updates, tr.leftOut = p.averaged, p.applied, p.leftInRow
	if tr.Passes == 1 {
		return
	}
	copy(tr.Model.Theta().Trainable(), p.weights)
	copy(tr.EMA.Average.Trainable(), p.average)
	copy(tr.Adam.M, p.m)
	copy(tr.Adam.V, p.v)
}
