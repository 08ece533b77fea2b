// Package judge reads a word by segmentation and classification.
//
// The picture is split into two colours ([Split]), cut into pieces at columns
// with little ink ([Cuts]), and every plausible run of pieces is classified by a
// small network on histograms of gradients ([Features], [Net]) as one of the
// characters or as none. The likeliest tiling of the columns is the word
// ([Read]); this is the segmentation lattice of LeCun et al., "Gradient-based
// learning applied to document recognition", Proc. IEEE 86(11), 1998, §IV.
//
// No bitmap of a typeface is stored here. The network is trained on noisy,
// blurred and shifted renderings by the command trainjudge.
package judge

//go:generate go run flowgrpo/task/glyphs/internal/trainjudge -out weights.bin
