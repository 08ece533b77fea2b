package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Patchify cuts x [B, C, H, W] in patches of p×p pixels, rows first, as
// [B, (H/p)·(W/p), C·p·p]: the layout of a convolution kernel [D, C, p, p].
func Patchify(x Node, p int) Node {
	s := x.Shape()
	return Apply(patchify{c: s[1], h: s[2], w: s[3], p: p}, x)
}

// Unpatchify joins patches [B, (h/p)·(w/p), p·p·c] to pictures [B, c, h, w]; inside
// a patch the channel runs fastest, as in SD3's output projection.
func Unpatchify(x Node, c, h, w, p int) Node {
	return Apply(unpatchify{c: c, h: h, w: w, p: p}, x)
}

type patchify struct{ c, h, w, p int }

func (k patchify) Op() Op { return named("patchify", numbers(k.c, k.h, k.w, k.p)...) }

func (k patchify) Out(in []Spec) Spec {
	if k.h%k.p != 0 || k.w%k.p != 0 {
		panic(fmt.Sprintf("graph: patchify: %d×%d is not a multiple of %d", k.h, k.w, k.p))
	}
	return Spec{Shape: tensor.Shape{in[0].Shape[0], k.h / k.p * (k.w / k.p), k.c * k.p * k.p}}
}

// rows calls move for every run of p pixels that follow each other in the picture and in the
// patches, channel-first inside a patch, with their offsets in both.
func (k patchify) rows(move func(pixel, patch int)) {
	cols := k.w / k.p
	for c := range k.c {
		for y := range k.h {
			for x := range cols {
				token := y/k.p*cols + x
				move((c*k.h+y)*k.w+x*k.p, ((token*k.c+c)*k.p+y%k.p)*k.p)
			}
		}
	}
}

func (k patchify) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		k.rows(func(pixel, patch int) { copy(dst[patch:patch+k.p], src[pixel:]) })
	}
}

func (k patchify) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(patchifyGrad{k}, dout)}
}

type patchifyGrad struct{ patchify }

func (k patchifyGrad) Op() Op { return named("patchify-grad", numbers(k.c, k.h, k.w, k.p)...) }
func (k patchifyGrad) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[0].Shape[0], k.c, k.h, k.w}}
}
func (k patchifyGrad) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		k.rows(func(pixel, patch int) { copy(dst[pixel:pixel+k.p], src[patch:]) })
	}
}

func (k patchifyGrad) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(k.patchify, dout)}
}

type unpatchify struct{ c, h, w, p int }

func (k unpatchify) Op() Op { return named("unpatchify", numbers(k.c, k.h, k.w, k.p)...) }

func (k unpatchify) Out(in []Spec) Spec {
	s := in[0].Shape
	if s[1] != k.h/k.p*(k.w/k.p) || s[2] != k.c*k.p*k.p {
		panic(fmt.Sprintf("graph: %s of shape %v", k.Op(), s))
	}
	return Spec{Shape: tensor.Shape{s[0], k.c, k.h, k.w}}
}

// rows calls move for every row of p pixels of a patch and channel, with the offsets of its
// first pixel in the picture, where the others follow, and in the patches, where they are c
// apart.
func (k unpatchify) rows(move func(pixel, patch int)) {
	cols := k.w / k.p
	for y := range k.h {
		for x := range cols {
			for c := range k.c {
				token := y/k.p*cols + x
				move((c*k.h+y)*k.w+x*k.p, (token*k.p+y%k.p)*k.p*k.c+c)
			}
		}
	}
}

func (k unpatchify) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		k.rows(func(pixel, patch int) {
			for i := range k.p {
				dst[pixel+i] = src[patch+i*k.c]
			}
		})
	}
}

func (k unpatchify) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(unpatchifyGrad(k), dout)}
}

type unpatchifyGrad unpatchify

func (k unpatchifyGrad) Op() Op { return named("unpatchify-grad", numbers(k.c, k.h, k.w, k.p)...) }
func (k unpatchifyGrad) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[0].Shape[0], k.h / k.p * (k.w / k.p), k.c * k.p * k.p}}
}
func (k unpatchifyGrad) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		unpatchify(k).rows(func(pixel, patch int) {
			for i := range k.p {
				dst[patch+i*k.c] = src[pixel+i]
			}
		})
	}
}
