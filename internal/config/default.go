package config

// Default returns the values of all keys that a recipe does not set.
func Default() Config {
	return Config{
		Name: "glyphs",
		Seed: 1,
		Task: Task{World: "glyphs", HeldOutFraction: 0.1},
		Train: Train{
			Mode: "lora", LoRARank: 32, LoRAAlpha: 64,
			LoRATargets: []string{ // attention only, as released with Flow-GRPO for SD3
				"attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0",
				"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out",
			},
			EMADecay: 0.9, Guidance: 1, Iterations: 60,
		},
		Rollout: Rollout{
			Steps: 10, Dynamics: "precise", NoiseLevel: 0.7, Schedule: "uniform", Shift: 3,
			Window: "all", Groups: 16, GroupSize: 12, Batch: 8,
		},
		GRPO: GRPO{
			Passes: 2, Ratio: "mean", StepWeight: "sensitivity", ClipRange: 1e-4, KLCoef: 0.004, KL: "exact",
			Advantage: "sum", AdvantageStd: "group", AdvantageClip: 5, MicroBatch: 16,
		},
		Optimizer: Optimizer{
			LR: 3e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-4, GradClip: 1, Schedule: "constant",
		},
		Device:  Device{Use: "cpu", Precision: "float32", Frozen: "precision", Products: "float32", Queues: 2, Batch: 32},
		Eval:    Eval{Every: 10, SamplesPerPrompt: 2, Steps: 40, Solver: "euler", Batch: 8, Final: true, FinalPrompts: 256, FinalSamplesPerPrompt: 2},
		Samples: Samples{Every: 10, Prompts: 8, PerPrompt: 2},
		Monitor: Monitor{
			Rise: 0.05, JudgeFall: 0.02, JudgeLag: 0.25, Frechet: 1.1, Diversity: 0.9, Fall: 0.05, Action: "warn", Rollbacks: 3, Failed: 0.05,
		},
		Pretrain: Pretrain{
			Batch: 64, MicroBatch: 8, LR: 1e-3, Warmup: 100, Schedule: "constant", EMADecay: 0.999, TimeStd: 1,
			CaptionDropout: 0.1, HeldOutFraction: 0.1, Crop: "center", EvalEvery: 250, LogEvery: 50,
		},
		Network: Network{
			Kind: "sd3", NumLayers: 4, NumAttentionHeads: 4, AttentionHeadDim: 32, PatchSize: 4, QKNorm: "rms_norm",
			MaxTokens: 16, JointAttentionDim: 128, PooledProjectionDim: 128,
		},
	}
}

func defaultReward() Reward {
	return Reward{Weight: 1, Scale: 1, When: "always", OnFailure: "drop-sample", Cache: 4096}
}
