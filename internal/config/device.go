package config

// Device is what networks are computed on. Where use = "cpu" the keys of GPUs have no effect, so
// that a recipe for GPUs runs on a machine without when use is set; products has an effect on
// the processor alone.
type Device struct {
	// "cpu": the processor. "gpu": every GPU, or those of gpus; needs a program that was built
	// with GPUs. "all": evaluations on GPUs and rollout.workers slots of the processor in one
	// pool, which moves figures by rounding from run to run; training on the GPUs alone, so that
	// the update sees the rollout's own velocities.
	Use string `toml:"use" oneof:"cpu gpu all"`
	// Which GPUs, by the driver's numbers from 0. Empty means all.
	GPUs []int `toml:"gpus" in:"[0,255]"`
	// Arithmetic of a GPU: "float32"; "tf32" (factors of products have 10 bits of mantissa, all
	// else is float32); "bfloat16" (matrices and activations have 7 bits; sums, losses, gradients
	// of weights and the optimizer are float32).
	Precision string `toml:"precision" oneof:"float32 tf32 bfloat16"`
	// How a GPU holds the matrices that training leaves alone, those under LoRA adapters:
	// "precision": as the arithmetic wants them; "int8": in 8 bits with a scale per row, half the
	// memory of bfloat16. Velocities move by about a per cent, for rollout and update alike.
	Frozen string `toml:"frozen" oneof:"precision int8"`
	// How the processor multiplies by the matrices of layers: "float32": in float32;
	// "bfloat16x3": in products of bfloat16, three for each float32, which are as close to the
	// exact result, faster on processors with AMX, and many times slower on all others. The bits
	// are the same on every processor, but not those of "float32".
	Products string `toml:"products" oneof:"float32 bfloat16x3"`
	// Queues of a GPU that sample at the same time: what the processor does for one is hidden
	// behind the kernels of another. Speed and memory; results do not depend on it.
	Queues int `toml:"queues" in:"[1,16]"`
	// Samples per call of the network on a GPU, in place of rollout.batch and eval.batch. Speed
	// and memory; results do not depend on it.
	Batch int `toml:"batch" in:"[1,1e5]"`
}
