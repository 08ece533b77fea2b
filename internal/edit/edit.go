// Package edit measures how far two words are apart, and finds the word that was
// probably meant.
package edit

// Distance returns the Levenshtein distance of a and b: the least number of
// insertions, deletions and substitutions of one rune that turn a into b. Invalid
// UTF-8 counts as one U+FFFD per byte. It takes time len(a)·len(b).
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1) // row[j] = distance of x[:i] and y[:j]
	for j := range row {
		row[j] = j
	}
	for i, r := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range y {
			substitute := diagonal
			if r != s {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(y)]
}

// maxWord is the length in bytes from which on nobody meant a word.
const maxWord = 100

// Nearest returns the first of the candidates with the least distance to word, or
// "" if none is nearer than limit or word has more than 100 bytes.
func Nearest(word string, candidates []string, limit int) string {
	best := ""
	if len(word) > maxWord {
		return best
	}
	for _, c := range candidates {
		if d := Distance(word, c); d < limit {
			best, limit = c, d
		}
	}
	return best
}
