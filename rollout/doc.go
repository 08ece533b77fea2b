// Package rollout runs a policy from noise to pictures: by a stochastic [Process],
// recording what the update needs ([Pool.Sample]), or along the ODE
// ([Pool.Integrate]).
//
// Work is cut in chunks of a fixed number of samples and dealt to the devices of
// a pool as they become free. Noise is addressed by (seed, purpose, iteration,
// prompt, sample, step) and a device's velocities do not depend on the batch, so
// the results are the same bits for any number of devices and any chunk size.
//
// A rollout never sees a reward.
package rollout
