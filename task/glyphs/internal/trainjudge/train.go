package main

import (
	"math"
	"math/rand/v2"

	"flowgrpo/internal/rng"
	"flowgrpo/task/glyphs/internal/judge"
)

// A trainer minimises the cross-entropy with Adam.
type trainer struct {
	net, grad, first, second *judge.Net
	steps                    int
}

func newTrainer(seed int64) *trainer {
	t := &trainer{net: new(judge.Net), grad: new(judge.Net), first: new(judge.Net), second: new(judge.Net)}
	r := rng.Key{Seed: seed, Purpose: rng.Params}.Rand()
	for i := range t.net.W1 {
		fillNormal(t.net.W1[i][:], r)
	}
	for i := range t.net.W2 {
		fillNormal(t.net.W2[i][:], r)
	}
	return t
}

// fillNormal draws the weights of a unit, with the variance of He et al.,
// arXiv:1502.01852.
func fillNormal(w []float32, r *rand.Rand) {
	std := math.Sqrt(2 / float64(len(w)))
	for i := range w {
		w[i] = float32(std * r.NormFloat64())
	}
}

// rows returns the parameters of n, biases last.
func rows(n *judge.Net) [][]float32 {
	var list [][]float32
	for i := range n.W1 {
		list = append(list, n.W1[i][:])
	}
	for i := range n.W2 {
		list = append(list, n.W2[i][:])
	}
	return append(list, n.B1[:], n.B2[:])
}

// step makes one update at rate lr and returns the mean loss and the share of
// samples classified right, before the update.
func (t *trainer) step(batch []sample, lr float64) (loss, right float64) {
	*t.grad = judge.Net{}
	for i := range batch {
		l, ok := t.backward(&batch[i], 1/float32(len(batch)))
		loss += l
		if ok {
			right++
		}
	}
	t.update(lr)
	n := float64(len(batch))
	return loss / n, right / n
}

// backward adds weight times the gradient of the sample's loss to t.grad.
func (t *trainer) backward(s *sample, weight float32) (loss float64, right bool) {
	var hidden, dHidden [judge.Hidden]float32
	var logp [judge.Classes]float32
	t.net.LogProbs(&logp, &hidden, &s.in)
	right = true
	for k, v := range logp {
		right = right && v <= logp[s.class]
		d := float32(math.Exp(float64(v)))
		if k == s.class {
			d--
		}
		d *= weight
		t.grad.B2[k] += d
		w, g := &t.net.W2[k], &t.grad.W2[k]
		for j, h := range hidden {
			g[j] += d * h
			dHidden[j] += d * w[j]
		}
	}
	for j, d := range dHidden {
		if hidden[j] == 0 {
			continue
		}
		t.grad.B1[j] += d
		g := &t.grad.W1[j]
		for i, x := range s.in {
			g[i] += d * x
		}
	}
	return -float64(logp[s.class]), right
}

// update is one step of Adam (Kingma and Ba, arXiv:1412.6980, Algorithm 1).
func (t *trainer) update(lr float64) {
	const beta1, beta2, eps = 0.9, 0.999, 1e-8
	t.steps++
	scale := lr * math.Sqrt(1-math.Pow(beta2, float64(t.steps))) / (1 - math.Pow(beta1, float64(t.steps)))
	p, g, m, v := rows(t.net), rows(t.grad), rows(t.first), rows(t.second)
	for r := range p {
		for i, d := range g[r] {
			m[r][i] += (1 - beta1) * (d - m[r][i])
			v[r][i] += (1 - beta2) * (d*d - v[r][i])
			p[r][i] -= float32(scale * float64(m[r][i]) / (math.Sqrt(float64(v[r][i])) + eps))
		}
	}
}
