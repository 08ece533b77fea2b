package doccheck

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// BrokenLinks returns the targets of relative links and pictures in the document at file
// that root does not have, in the order of the text and each once. Links to other sites and
// within the document are ignored, and so is what follows a #.
func BrokenLinks(root fs.FS, file, document string) []string {
	var broken []string
	seen := map[string]bool{}
	for _, match := range link.FindAllStringSubmatch(document, -1) {
		target, _, _ := strings.Cut(match[1], "#")
		if target == "" || strings.Contains(target, "://") || seen[target] {
			continue
		}
		seen[target] = true
		if _, err := fs.Stat(root, path.Join(path.Dir(file), target)); err != nil {
			broken = append(broken, target)
		}
	}
	return broken
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
