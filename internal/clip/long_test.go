package clip

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgrpo/internal/longtest"
)

// Folders of the true shape of published models, with random values in half precision, load
// and embed. It takes 2 GB of disk and 6 GB of memory.
func TestTrueShapes(t *testing.T) {
	longtest.Only(t)
	for _, p := range readPublished(t) {
		t.Run(filepath.Base(p.Name), func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(writeFolder(dir, p), copyFiles(dir, "tokenizer", vocabularyFile, mergesFile)); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			m, err := Load(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			loaded := time.Since(begin)
			images, err := m.Images(t.Context(), []*image.NRGBA{picture(512, 512), picture(512, 512)})
			if err != nil {
				t.Fatal(err)
			}
			text, err := m.Texts(t.Context(), testTexts(t)[:1])
			if err != nil {
				t.Fatal(err)
			}
			cosine := Cosine(images[0], text[0])
			if !slices.Equal(images[0], images[1]) || len(text[0]) != m.Dim() || !(math.Abs(cosine) < 1) || cosine == 0 {
				t.Errorf("two embeddings of one picture are equal: %t; cosine %v of %d numbers", slices.Equal(images[0], images[1]), cosine, m.Dim())
			}
			t.Logf("loaded in %v, two pictures and a text embedded %v later, cosine %.4f; %s", loaded, time.Since(begin)-loaded, cosine, peak())
		})
	}
}

// writeFolder writes config.json, preprocessor_config.json and the weights of p, one tensor
// after the other.
func writeFolder(dir string, p published) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, configFile), p.Config, 0o644),
		os.WriteFile(filepath.Join(dir, preprocessorFile), []byte("{}"), 0o644),
		writeWeights(filepath.Join(dir, weightsFile), p.Tensors),
	)
}

func writeWeights(path string, tensors map[string][]int) (err error) {
	header, sizes, at := map[string]any{}, []int{}, 0
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		size := 2
		for _, d := range tensors[name] {
			size *= d
		}
		header[name] = map[string]any{"dtype": "F16", "shape": tensors[name], "data_offsets": []int{at, at + size}}
		sizes, at = append(sizes, size), at+size
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	state := uint64(88172645463325252)
	for _, size := range sizes {
		for range size / 2 {
			state ^= state << 13 // xorshift
			state ^= state >> 7
			state ^= state << 17
			half := uint16(state)&0x83ff | 9<<10 // ±2⁻⁶ to ±2⁻⁵
			if err := errors.Join(w.WriteByte(byte(half)), w.WriteByte(byte(half>>8))); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func copyFiles(dir, from string, names ...string) error {
	for _, name := range names {
		b, err := fs.ReadFile(goldens, from+"/"+name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// peak returns the largest resident memory of this process, as Linux has it.
func peak() string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "memory unknown"
	}
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return fmt.Sprintf("at most%s resident", strings.TrimRight(kib, "\n"))
		}
	}
	return "memory unknown"
}
