// Package eval measures what fine-tuning did, and shows it.
//
// A [Protocol] samples held-out prompts on fixed noise in several [Mode]s (the
// ODE with many steps, the SDE with many steps, the SDE with the steps of training) and
// yields one [Evaluation] per call: a [Score] per mode, and the [Row]s behind
// it. A score has four headline numbers, each with an interval:
//
//   - reward: what training optimises, on held-out prompts ([task.HeldOut]);
//   - judge: an independent scorer of the same skill, seen by no reward;
//   - Fréchet distance to real pictures ([Reference]): quality;
//   - diversity among samples of one prompt ([Diversity]): collapse.
//
// [Watch] compares them over a run and names reward hacking. [FromRun] reads a
// run folder, [WriteHTML] turns it into one self-contained page, [Compare] puts
// several runs side by side. The shapes of every JSON file of a run folder that
// carries results are the exported types of this package; docs/metrics.md defines
// every number.
//
// Nothing here knows a network: pictures come from a [Sampler]. All results
// depend only on the arguments, never on the number of workers.
package eval
