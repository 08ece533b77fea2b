// Package shell writes command lines.
package shell

import "strings"

// plain are the characters that no shell gives a meaning.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@%+"

// Line returns args as one line that a POSIX shell reads back as args.
func Line(args []string) string {
	special := func(r rune) bool { return !strings.ContainsRune(plain, r) }
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if a == "" || strings.ContainsFunc(a, special) {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
