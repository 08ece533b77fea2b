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
	for _, x := range tr.changing() {
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
	for _, x := range tr.changing() {
		copy(x.live, *x.kept)
	}
}

type changing struct {
	kept *[]float32
	live []float32
}

// changing returns what updates change, beside where it is kept.
func (tr *Trainer) changing() []changing {
	p := &tr.past
	return []changing{
		{&p.weights, tr.Model.Theta().Trainable()}, {&p.average, tr.EMA.Average.Trainable()}, {&p.m, tr.Adam.M}, {&p.v, tr.Adam.V},
	}
}
