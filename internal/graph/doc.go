// Package graph holds the fused operations that networks and losses are written
// with, as Gorgonia ops, and the compiler that turns a Gorgonia expression graph
// into a [Program] that runs on flat buffers.
//
// A network is an expression graph of [Kernel]s. Gorgonia differentiates it: the
// gradient of every kernel is again made of kernels, so one graph holds the
// forward and the backward pass. Two executors run it: Gorgonia's TapeMachine,
// slow and simple, the oracle of the tests; and [Compile], which drops what no
// output needs, orders the rest once, fuses what follows a product into it, lets
// products of one factor share it, plans the buffers and then only calls kernels:
// Program.Run allocates nothing.
//
// Every kernel computes a sample without looking at its neighbours in the batch,
// one fixed order of additions per output element, on one thread. Work is spread
// over cores a level above, by giving each worker a Program of its own.
//
// # Notation
//
//	B  samples in a batch     T  tokens     D  channels     H  heads
package graph
