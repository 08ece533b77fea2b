// Package rollout runs a policy from noise to pictures: by a stochastic [Process],
// recording what the update needs ([Pool.Sample]), or along the ODE
// ([Pool.Integrate]).
//
// Work is cut in chunks and dealt to the devices of a pool as they become free. The
// devices may be of different kinds: each has its own number of samples at a time
// ([Batcher]), the faster ones get more of them, and at the end the others do not
// hold them up. A device that is lost on the way ([Fallible]) is reported and does
// no more work; the others do what it left ([Pool.Lost]).
//
// Noise is addressed by (seed, purpose, iteration, prompt, sample, step) and the
// velocities of a slot of the processor do not depend on the batch, so there the
// results are the same bits for any number of devices, any chunk size, and whatever
// device is lost. Which device computes a sample follows from measured speeds; where
// kinds of devices round differently, a result is theirs to within that rounding.
//
// A rollout never sees a reward.
package rollout
