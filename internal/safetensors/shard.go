package safetensors

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// indexSuffix ends the name of the file that lists the shards of a model.
const indexSuffix = ".index.json"

// readSharded reads all shards of an index. Every tensor must be where the index
// says, and nothing else may be there. The index's total_size is not checked:
// published models often carry a stale one.
func readSharded(fsys fs.FS, index, dir string) (*File, error) {
	where := filepath.Join(dir, filepath.FromSlash(index))
	content, err := readLimited(fsys, index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	weights, err := parseIndex(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	byShard := map[string]int{}
	for _, shard := range weights {
		byShard[shard]++
	}
	all := &File{Path: where}
	for _, shard := range slices.Sorted(maps.Keys(byShard)) {
		f, err := readOne(fsys, path.Join(path.Dir(index), shard), dir)
		if err != nil {
			return nil, err
		}
		for _, t := range f.Tensors {
			if weights[t.Name] != shard {
				return nil, fmt.Errorf("%s: tensor %q is in %s, but the index puts it in %q", where, clip(t.Name), shard, weights[t.Name])
			}
			byShard[shard]--
		}
		if byShard[shard] != 0 {
			return nil, fmt.Errorf("%s: %d tensors that the index puts in %s are not there", where, byShard[shard], shard)
		}
		all.Tensors = append(all.Tensors, f.Tensors...)
	}
	slices.SortFunc(all.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// parseIndex returns the weight_map of an index: tensor name to file name.
func parseIndex(content []byte) (map[string]string, error) {
	if err := checkJSON(trimSpace(content)); err != nil {
		return nil, fmt.Errorf("not an index: %w", err)
	}
	weights := map[string]string{}
	found := false
	err := eachMember(content, func(key string, value []byte) error {
		if key != "weight_map" {
			return nil
		}
		found = true
		return eachMember(value, func(name string, v []byte) error {
			shard, err := parseString(v)
			if err != nil || strings.ContainsAny(shard, `/\:`) || !strings.HasSuffix(shard, ".safetensors") {
				return fmt.Errorf("weight_map %q must name a .safetensors file in the same folder, found %s", clip(name), clip(string(v)))
			}
			weights[name] = shard
			return nil
		})
	})
	if err == nil && !found {
		err = errors.New("no weight_map")
	}
	return weights, err
}

func trimSpace(b []byte) []byte { return []byte(strings.TrimSpace(string(b))) }

// readLimited reads a file of at most maxHeader bytes.
func readLimited(fsys fs.FS, name string) ([]byte, error) {
	r, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxHeader+1))
	if len(b) > maxHeader {
		return nil, fmt.Errorf("file exceeds the limit of %d bytes", maxHeader)
	}
	return b, err
}
