// Package glyphs is the text-rendering world: prompts such as
//
//	a navy sign that says "K7QX"
//
// pictures of 3 × 12 × 44 with a word of three to five characters out of A-Z and
// 0-9, and two independent readers.
//
// A prompt names the word and the ground, one of eight colours, each of which has
// its colour of ink. [World] renders words in two real monospaced TrueType faces (Go
// Mono Bold, Liberation Mono Bold) and two sizes, at most a pixel off the
// middle of the picture, and moves both colours a little.
//
// [World.Miscaption] draws pictures whose captions have typos, for a base model that
// draws letters well and misspells.
//
// [Reader], made for the reward, matches the very bitmaps that the renderer draws.
// [Judge], made for evaluation, cuts the picture into characters and classifies
// their gradients: it shares no measurement with the Reader, so that a policy which
// learns to please the one does not please the other by the same trick. Neither
// looks at which colours the prompt asks for.
//
// # Names
//
//	face      a typeface, such as Go Mono Bold
//	style     a face at one size; it fixes the bitmap of every character
//	coverage  share of a pixel that is ink, in [0, 1]
//	ink box   smallest box around the pixels of a glyph with a coverage of 0.12 or more
package glyphs
