package config

// Pretrain is the making of a base model by flow matching.
type Pretrain struct {
	// Updates. 0 means that this recipe does not pretrain.
	Steps int `toml:"steps" in:"[0,1e9]"`
	// Examples per update.
	Batch int `toml:"batch" in:"[1,1e6]"`
	// Examples per gradient program. Memory and speed; of results the rounding, as sums get
	// another order.
	MicroBatch int `toml:"micro_batch" in:"[1,1e5]"`
	// Compute activations again in the backward pass instead of keeping them, as train.recompute.
	Recompute bool `toml:"recompute"`
	// Learning rate, after the warm-up.
	LR float64 `toml:"lr" in:"(0,10]"`
	// Updates over which the learning rate rises linearly.
	Warmup int `toml:"warmup" in:"[0,1e9]"`
	// Course of the learning rate: "constant", or down to final_fraction by "cosine" or "linear".
	Schedule string `toml:"schedule" oneof:"constant cosine linear"`
	// Learning rate at the end, as a share of lr.
	FinalFraction float64 `toml:"final_fraction" in:"[0,1]"`
	// Decay of the average of the weights, per update; the average is what is saved.
	EMADecay float64 `toml:"ema_decay" in:"[0,1)"`
	// Mean of the logit of t, whose law is logit-normal. 0 means symmetric about t = ½.
	TimeMean float64 `toml:"time_mean" in:"[-10,10]"`
	// Standard deviation of the logit of t.
	TimeStd float64 `toml:"time_std" in:"(0,10]"`
	// Share of captions that are replaced by the empty one, for guidance.
	CaptionDropout float64 `toml:"caption_dropout" in:"[0,1]"`
	// Share of the facts in captions that are wrong on purpose: of the characters of a
	// word in glyphs; of classes, colours, numbers and places in shapes. It grows to this by
	// the last step. The model then draws well but follows a prompt only as often as
	// captions are right, as one does that learned from the web. For the built-in worlds.
	CaptionErrors float64 `toml:"caption_errors" in:"[0,1)"`
	// Steps with right captions at the beginning.
	CaptionErrorsAfter int `toml:"caption_errors_after" in:"[0,1e9]"`
	// Folder of pictures with a metadata.jsonl of captions (imagefolder layout). Empty
	// means the task's world.
	Images string `toml:"images"`
	// Share of the pictures that are held out, a pure function of seed and file name.
	HeldOutFraction float64 `toml:"heldout_fraction" in:"[0,0.9]"`
	// Height of the examples in pixels, for images. 0 otherwise: the world knows.
	Height int `toml:"height" in:"[0,4096]"`
	// Width of the examples in pixels, for images. 0 otherwise.
	Width int `toml:"width" in:"[0,4096]"`
	// Channels of the examples, 1 (grey) or 3, for images. 0 otherwise.
	Channels int `toml:"channels" in:"[0,3]"`
	// Which part of a picture of another aspect ratio is kept: "center" or "random".
	Crop string `toml:"crop" oneof:"center random"`
	// Updates between evaluations with the task's reward (T and solver as in [eval]).
	// 0 means none.
	EvalEvery int `toml:"eval_every" in:"[0,1e9]"`
	// Stop when the held-out score at eval.steps first exceeds this. 0 means never.
	StopAt float64 `toml:"stop_at" in:"[0,1e6]"`
	// Stop when the held-out score falls below this, once captions have errors. A score
	// that was never this high does not stop. 0 means never.
	StopBelow float64 `toml:"stop_below" in:"[0,1e6]"`
	// Updates between lines of the log.
	LogEvery int `toml:"log_every" in:"[1,1e9]"`
}

// Network is the architecture of a model that is pretrained.
type Network struct {
	// "sd3" is Stable Diffusion 3's transformer (MMDiT) at any size.
	Kind string `toml:"kind" oneof:"sd3" why:"no other network draws pictures"`
	// Joint transformer blocks.
	NumLayers int `toml:"num_layers" in:"[1,512]"`
	// Attention heads. The width is heads × head_dim.
	NumAttentionHeads int `toml:"num_attention_heads" in:"[1,1024]"`
	// Width of an attention head.
	AttentionHeadDim int `toml:"attention_head_dim" in:"[1,4096]"`
	// Side of a square patch in pixels. Must divide the picture's sides.
	PatchSize int `toml:"patch_size" in:"[1,256]"`
	// Patches per side of the stored position table. 0 means as many as the picture's
	// longer side has.
	PosEmbedMaxSize int `toml:"pos_embed_max_size" in:"[0,4096]"`
	// Blocks with a second attention over the picture alone (SD3.5-Medium), counted from 0.
	DualAttentionLayers []int `toml:"dual_attention_layers" in:"[0,511]"`
	// Norm of queries and keys: "rms_norm" (SD3.5) or "" (SD3).
	QKNorm string `toml:"qk_norm" oneof:"rms_norm _"`
	// Tokens of a prompt: longer ones are cut, shorter ones padded.
	MaxTokens int `toml:"max_tokens" in:"[1,4096]"`
	// Width of a token's embedding.
	JointAttentionDim int `toml:"joint_attention_dim" in:"[1,65536]"`
	// Width of the embedding of the whole prompt.
	PooledProjectionDim int `toml:"pooled_projection_dim" in:"[1,65536]"`
}
