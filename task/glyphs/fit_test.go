package glyphs

import "testing"

// Every word fits in some style: the widest characters five times do.
func TestEveryWordFits(t *testing.T) {
	for i := range len(Alphabet) {
		for j := range len(Alphabet) {
			fits := false
			for s := range styles() {
				fits = fits || newLayout(&styles()[s], []int{i, j, i, j, i}).fits()
			}
			if !fits {
				t.Errorf("%c%c%c%c%c fits in no style", Alphabet[i], Alphabet[j], Alphabet[i], Alphabet[j], Alphabet[i])
			}
		}
	}
}
