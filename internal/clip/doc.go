// Package clip runs CLIP models (Radford et al., arXiv:2103.00020): a tower that embeds
// pictures and one that embeds texts in the same space, where what belongs together is
// close. Rewards are made of such embeddings and a formula or a small head on top.
//
// A model is a folder as transformers' CLIPModel writes it: config.json,
// model.safetensors (sharded or not, in any floating type), preprocessor_config.json and
// tokenizer.json, or vocab.json with merges.txt. Pictures are prepared as by its
// CLIPImageProcessor with Pillow, texts as by its CLIPTokenizer, and embeddings are those of
// its get_image_features and get_text_features, within rounding.
//
// Inference only. The embedding of a picture or of a text does not depend, bit for bit, on
// what it is computed together with.
//
// # Notation
//
//	B  pictures or texts     T  tokens of each     D  width of a tower     P  of embeddings
package clip
