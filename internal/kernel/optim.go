package kernel

import "math"

// AdamWStep is the setting of one step of AdamW.
type AdamWStep struct {
	LR          float64 // learning rate, ≥ 0
	Beta1       float64 // decay of the first moment, in [0, 1)
	Beta2       float64 // decay of the second moment, in [0, 1)
	Eps         float64 // added to the root of the second moment, > 0
	WeightDecay float64 // decoupled decay, ≥ 0; 0 is Adam
	Step        int     // counts from 1, for the bias correction
}

// AdamW updates the parameters p and the moments m and v with the gradient g,
//
//	m = m + (1-β₁)·(g - m),   v = β₂·v + (1-β₂)·g²
//	p = p - LR·( m̂/(√v̂ + Eps) + WeightDecay·p ),
//	m̂ = m/(1-β₁ᵗ),  v̂ = v/(1-β₂ᵗ),
//
// as torch.optim.AdamW does (Loshchilov and Hutter, arXiv:1711.05101). The
// coefficients are computed in float64 and rounded; the elements are float32.
// The decay is part of the last sum, which rounds once, and not a product with
// 1 - LR·WeightDecay, which float32 cannot hold for small rates.
func AdamW(p, g, m, v []float32, o AdamWStep) {
	checkSame(len(p), g, m, v)
	c := adamWCoefficients(o)
	if vectorized(len(p)) {
		a := on(p, m, v, g)
		a.f = [8]float32{c.gain1, c.gain2, c.beta2, c.meanScale, c.rootScale, c.eps, c.decay, -c.lr}
		vector(fnAdamW, &a)
		return
	}
	for i, g := range g {
		m[i] = fma32(c.gain1, g-m[i], m[i])
		v[i] = fma32(g*c.gain2, g, v[i]*c.beta2)
		root := fma32(float32(math.Sqrt(float64(v[i]))), c.rootScale, c.eps)
		update := fma32(c.decay, p[i], m[i]*c.meanScale/root)
		p[i] = fma32(-c.lr, update, p[i])
	}
}

// adamWFactors are the float32 factors of one step.
type adamWFactors struct {
	gain1, gain2, beta2  float32 // 1-β₁, 1-β₂, β₂
	meanScale, rootScale float32 // 1/(1-β₁ᵗ), 1/√(1-β₂ᵗ)
	eps, decay, lr       float32
}

func adamWCoefficients(o AdamWStep) adamWFactors {
	t := float64(o.Step)
	return adamWFactors{
		gain1:     float32(1 - o.Beta1),
		gain2:     float32(1 - o.Beta2),
		beta2:     float32(o.Beta2),
		meanScale: float32(1 / (1 - math.Pow(o.Beta1, t))),
		rootScale: float32(1 / math.Sqrt(1-math.Pow(o.Beta2, t))),
		eps:       float32(o.Eps),
		decay:     float32(o.WeightDecay),
		lr:        float32(o.LR),
	}
}

// EMA moves avg towards p: avg = avg + (1-decay)·(p - avg).
func EMA(avg, p []float32, decay float32) {
	checkSame(len(avg), p)
	gain := float32(1 - float64(decay))
	if vectorized(len(avg)) {
		v := on(avg, p)
		v.f[0] = gain
		vector(fnEma, &v)
		return
	}
	for i, x := range p {
		avg[i] = fma32(gain, x-avg[i], avg[i])
	}
}
