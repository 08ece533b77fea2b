package safetensors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"flowgrpo/internal/jsonfile"
)

// indexSuffix ends the name of the file that lists the shards of a model.
const indexSuffix = ".index.json"

// index is an index file: which tensor is in which file, and how many bytes the data
// of all tensors have, -1 if it does not say.
type index struct {
	shards map[string]string
	size   int
}

// readSharded reads the headers of all shards of an index. Every tensor must be
// where the index says, and nothing else may be there.
func readSharded(fsys fs.FS, name, dir string) (*File, error) {
	all := &File{Path: filepath.Join(dir, filepath.FromSlash(name))}
	fail := func(format string, args ...any) (*File, error) {
		return nil, fmt.Errorf("%s: %w", all.Path, fmt.Errorf(format, args...))
	}
	content, err := readLimited(fsys, name)
	if err != nil {
		return fail("%w", err)
	}
	ix, err := parseIndex(content)
	if err != nil {
		return fail("%w", err)
	}
	left := map[string]int{} // tensors that are still to be found, by shard
	for _, shard := range ix.shards {
		left[shard]++
	}
	size := 0
	for _, shard := range slices.Sorted(maps.Keys(left)) {
		f, err := readOne(fsys, path.Join(path.Dir(name), shard), dir)
		if err != nil {
			return nil, err
		}
		for _, t := range f.tensors {
			switch listed, ok := ix.shards[t.Name]; {
			case !ok:
				return fail("tensor %q is in %s, but the index does not list it", clip(t.Name), shard)
			case listed != shard:
				return fail("tensor %q is in %s, but the index puts it in %q", clip(t.Name), shard, listed)
			}
			left[shard]--
			size += t.end - t.begin
		}
		if left[shard] != 0 {
			return fail("%d tensors that the index puts in %s are not there", left[shard], shard)
		}
		all.tensors = append(all.tensors, f.tensors...)
	}
	if ix.size >= 0 && ix.size != size {
		return fail("metadata total_size is %d, but the tensors have %d bytes; correct or remove it", ix.size, size)
	}
	slices.SortFunc(all.tensors, func(a, b place) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// parseIndex reads the parts of an index that say where tensors are.
func parseIndex(content []byte) (index, error) {
	ix := index{size: -1}
	if err := checkJSON(jsonfile.Trim(content)); err != nil {
		return ix, fmt.Errorf("not an index: %w", err)
	}
	err := jsonfile.Members(jsonfile.Trim(content), func(key, value []byte) (err error) {
		switch string(key) {
		case "metadata":
			ix.size, err = parseTotalSize(value)
		case "weight_map":
			if ix.shards != nil {
				return errors.New("weight_map is given twice")
			}
			ix.shards, err = parseWeightMap(value)
		}
		return err
	})
	if err == nil && ix.shards == nil {
		err = errors.New("no weight_map")
	}
	return ix, err
}

func parseTotalSize(object []byte) (int, error) {
	size := -1
	err := jsonfile.Members(object, func(key, value []byte) error {
		if string(key) != "total_size" {
			return nil
		}
		n, err := strconv.ParseUint(string(value), 10, strconv.IntSize-1)
		if err != nil {
			return fmt.Errorf("total_size must be a whole number >= 0, found %s", clip(string(value)))
		}
		size = int(n)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("metadata: %w", err)
	}
	return size, err
}

func parseWeightMap(object []byte) (map[string]string, error) {
	if object[0] != '{' {
		return nil, fmt.Errorf("weight_map must be an object, found %s", clip(string(object)))
	}
	shards := map[string]string{}
	err := jsonfile.Members(object, func(key, value []byte) error {
		shard, err := jsonfile.Unquote(value)
		if err != nil || bytes.ContainsAny(shard, "/\\:\x00") || !bytes.HasSuffix(shard, []byte(".safetensors")) {
			return fmt.Errorf("weight_map %q must name a .safetensors file in the same folder, found %s", clip(string(key)), clip(string(value)))
		}
		if _, twice := shards[string(key)]; twice {
			return fmt.Errorf("tensor %q is defined twice; duplicate names are not allowed", clip(string(key)))
		}
		if len(shards) == maxTensors {
			return fmt.Errorf("more tensors than the limit %d", maxTensors)
		}
		shards[string(key)] = string(shard)
		return nil
	})
	return shards, err
}

// readLimited reads a file of at most maxHeader bytes.
func readLimited(fsys fs.FS, name string) ([]byte, error) {
	r, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close() // read only
	b, err := io.ReadAll(io.LimitReader(r, maxHeader+1))
	if len(b) > maxHeader {
		return nil, fmt.Errorf("file exceeds the limit of %d bytes", maxHeader)
	}
	return b, err
}
