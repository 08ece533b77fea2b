package imagefolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"flowgrpo/internal/lines"
	"flowgrpo/task"
)

const metadataFile = "metadata.jsonl"

var (
	captionKeys = []string{"text", "caption", "prompt"}
	extensions  = []string{".png", ".jpg", ".jpeg"}
)

// An entry is one line of metadata.jsonl.
type entry struct {
	file   string // slash-separated, clean, local to the folder
	prompt task.Prompt
	line   lines.Line
}

func readMetadata(root *os.Root) ([]entry, error) {
	f, err := root.Open(metadataFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: no %s in it; write one line {\"file_name\": \"1.png\", \"text\": \"a caption\"} per picture",
			root.Name(), metadataFile)
	}
	if err != nil {
		return nil, fmt.Errorf("imagefolder: %w", err)
	}
	defer f.Close() // read only
	return parseMetadata(displayName(root, metadataFile), f)
}

func parseMetadata(name string, r io.Reader) ([]entry, error) {
	list, err := lines.Read(name, r)
	if err != nil {
		return nil, err
	}
	var out []entry
	at := map[string]int{}
	for _, l := range list {
		e, err := parseEntry(l)
		if err != nil {
			return nil, err
		}
		if first, twice := at[e.file]; twice {
			return nil, l.Errorf("%s was listed at line %d already", e.file, first)
		}
		at[e.file] = l.No
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no picture in it", name)
	}
	return out, nil
}

func parseEntry(l lines.Line) (e entry, err error) {
	e.line = l
	object, err := l.Object()
	if err != nil {
		return e, err
	}
	if e.file, err = fileName(l, object); err != nil {
		return e, err
	}
	if e.prompt.Text, err = caption(l, object); err != nil {
		return e, err
	}
	if e.prompt.Category, _, err = l.String(object, "category"); err != nil {
		return e, err
	}
	if raw, ok := object["metadata"]; ok {
		if raw[0] != '{' {
			return e, l.Errorf("key \"metadata\" is %.40s, want an object", raw)
		}
		e.prompt.Metadata = raw
	}
	return e, nil
}

// fileName returns the clean path of the picture; it must stay in the folder.
func fileName(l lines.Line, object map[string]json.RawMessage) (string, error) {
	name, ok, err := l.String(object, "file_name")
	if err != nil {
		return "", err
	}
	if !ok {
		return "", l.Errorf("no \"file_name\"")
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsRune(name, '\\') {
		return "", l.Errorf("file name %q must be a path inside the folder, with forward slashes", name)
	}
	if !isPicture(name) {
		return "", l.Errorf("file name %q is neither PNG nor JPEG (%s)", name, strings.Join(extensions, ", "))
	}
	return path.Clean(name), nil
}

// caption returns the value of the one caption key.
func caption(l lines.Line, object map[string]json.RawMessage) (string, error) {
	found := ""
	for _, key := range captionKeys {
		text, ok, err := l.String(object, key)
		if err != nil {
			return "", err
		}
		if ok && found != "" {
			return "", l.Errorf("two captions, %q and %q; which one?", found, text)
		}
		if ok {
			found = text
		}
	}
	if found == "" {
		return "", l.Errorf("no caption: want one of the keys %s", strings.Join(captionKeys, ", "))
	}
	return found, nil
}

func isPicture(name string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name)))
}

// findUnlisted returns an error that names the first picture of the folder that
// has no line. Names that start with a dot are not looked at.
func findUnlisted(root *os.Root, entries []entry) error {
	listed := map[string]bool{}
	for _, e := range entries {
		listed[e.file] = true
	}
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(path.Base(name), ".")
		switch {
		case err != nil:
			return fmt.Errorf("imagefolder: %w", err)
		case hidden && d.IsDir():
			return fs.SkipDir
		case !hidden && !d.IsDir() && isPicture(name) && !listed[name]:
			return fmt.Errorf("%s: this picture has no line in %s; add one or move the picture away",
				displayName(root, name), metadataFile)
		}
		return nil
	})
}
