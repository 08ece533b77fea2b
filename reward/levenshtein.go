package reward

// Levenshtein returns the edit distance between a and b: the least number of
// insertions, deletions and substitutions of one rune that turn a into b.
// Invalid UTF-8 counts as one U+FFFD per byte. It takes time len(a)·len(b).
func Levenshtein(a, b string) int {
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

// nearest returns the candidate that word was probably meant to be, or "" if
// none is close.
func nearest(word string, candidates []string) string {
	best, at := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := Levenshtein(word, c); d < at {
			best, at = c, d
		}
	}
	return best
}
