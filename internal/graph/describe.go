package graph

import (
	"fmt"
	"strings"
)

// An Op says what a kernel computes: with the shapes of the operands, all that a backend
// needs to know.
type Op struct {
	Name   string
	Params []float64 // every parameter that changes the result, in the order of the kernel's fields
	Parts  []Op      // of a fused kernel: the product, and what is applied to its result; of a shared one: the products
}

func named(name string, params ...float64) Op { return Op{Name: name, Params: params} }

// String returns the name with the parameters.
func (o Op) String() string {
	var b strings.Builder
	b.WriteString(o.Name)
	for i, p := range o.Params {
		fmt.Fprintf(&b, "%c%v", "(,"[min(i, 1)], p)
	}
	if len(o.Params) > 0 {
		b.WriteByte(')')
	}
	for _, p := range o.Parts {
		b.WriteString("+" + p.String())
	}
	return b.String()
}

// numbers returns n as parameters.
func numbers(n ...int) []float64 {
	var params []float64
	for _, i := range n {
		params = append(params, float64(i))
	}
	return params
}
