package imagefolder

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowgrpo/internal/costtest"
	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// eightBit is how far a value in [-1, 1] may be off after 8-bit storage.
const eightBit = 0.5 / 127.5

// picture returns a w×h gradient: red grows with x, green with y.
func picture(w, h int) *image.NRGBA {
	im := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			im.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / max(w-1, 1)), uint8(255 * y / max(h-1, 1)), 100, 255})
		}
	}
	return im
}

func encode(t testing.TB, name string, im image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, im)
	if strings.HasSuffix(name, ".jpg") {
		b.Reset()
		err = jpeg.Encode(&b, im, &jpeg.Options{Quality: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// folder writes files and a metadata.jsonl.
func folder(t testing.TB, metadata string, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	if metadata != "" {
		files[metadataFile] = []byte(metadata)
	}
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func shape(c, h, w int) Options { return Options{C: c, H: h, W: w} }

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := folder(t, "\ufeff"+`{"file_name":"a.png","text":"first"}`+"\r\n\r\n"+
		`{"file_name":"sub/./b.jpg","caption":"second","category":"c","metadata":{"text":"B"},"width":3}`+"\r\n"+
		`{"file_name":"c.jpeg","prompt":"third"}`,
		map[string][]byte{
			"a.png":      encode(t, "a.png", picture(8, 8)),
			"sub/b.jpg":  encode(t, "b.jpg", picture(20, 10)),
			"c.jpeg":     encode(t, "c.png", picture(5, 9)), // the wrong extension
			".thumbs.db": nil, ".hidden/x.png": nil, "README.md": nil,
		})
	f, err := Open(dir, shape(3, 8, 8))
	if err != nil {
		t.Fatal(err)
	}
	got := f.Split(task.Train).Prompts()
	want := []task.Prompt{{ID: 0, Text: "first"}, {ID: 1, Text: "second", Category: "c", Metadata: []byte(`{"text":"B"}`)}, {ID: 2, Text: "third"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("prompts %v, want %v", got, want)
	}
	if n := f.Split(task.HeldOut).Len(); n != 0 {
		t.Errorf("%d pictures held out, want none", n)
	}
}

// A picture on its own is the one that a folder of it alone has, cut in the middle.
func TestPicture(t *testing.T) {
	t.Parallel()
	dir := folder(t, `{"file_name":"a.png","text":"t"}`, map[string][]byte{"a.png": encode(t, "a.png", picture(20, 10))})
	f, err := Open(dir, shape(3, 8, 8))
	if err != nil {
		t.Fatal(err)
	}
	want := task.NewImage(3, 8, 8)
	f.Split(task.Train).Example(rng.Key{}, want)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := Picture(root, "a.png", 3, 8, 8)
	if err != nil || got.C != 3 || got.H != 8 || got.W != 8 || !slices.Equal(got.Pix, want.Pix) {
		t.Errorf("%d×%d×%d, error %v; want the picture of the folder", got.C, got.H, got.W, err)
	}
	for _, c := range []struct {
		file    string
		c, h, w int
		want    string
	}{
		{"b.png", 3, 8, 8, "no such file"}, {"metadata.jsonl", 3, 8, 8, "neither PNG nor JPEG"},
		{"a.png", 2, 8, 8, "2 channels"}, {"a.png", 1, 0, 8, "size 0×8"},
	} {
		if _, err := Picture(root, c.file, c.c, c.h, c.w); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s as %d×%d×%d: error %v, want %s", c.file, c.c, c.h, c.w, err, c.want)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	good := encode(t, "a.png", picture(4, 4))
	narrow := encode(t, "a.png", picture(300, 1))
	large := encode(t, "a.png", image.NewGray(image.Rect(0, 0, 3000, 3000)))[:64]
	const line = `{"file_name":"a.png","text":"t"}`
	for _, c := range []struct {
		name, metadata string
		files          map[string][]byte
		want           string
	}{
		{"no metadata", "", map[string][]byte{"a.png": good}, "no metadata.jsonl in it"},
		{"empty metadata", "\n", map[string][]byte{}, "metadata.jsonl: no picture in it"},
		{"missing file", line, map[string][]byte{}, "metadata.jsonl:1: a.png: no such file"},
		{"a folder", line, map[string][]byte{"a.png/x.txt": nil}, "metadata.jsonl:1: a.png: "},
		{"upwards", `{"file_name":"../a.png","text":"t"}`, map[string][]byte{}, `metadata.jsonl:1: file name "../a.png" must be a path inside the folder`},
		{"upwards later", `{"file_name":"x/../../a.png","text":"t"}`, map[string][]byte{}, "must be a path inside the folder"},
		{"absolute", `{"file_name":"/etc/a.png","text":"t"}`, map[string][]byte{}, "must be a path inside the folder"},
		{"backslash", `{"file_name":"x\\a.png","text":"t"}`, map[string][]byte{}, "with forward slashes"},
		{"duplicate", line + "\n" + line, map[string][]byte{"a.png": good}, "metadata.jsonl:2: a.png was listed at line 1 already"},
		{"duplicate spelt otherwise", line + "\n" + `{"file_name":"./a.png","text":"t"}`, map[string][]byte{"a.png": good}, "metadata.jsonl:2: a.png was listed at line 1 already"},
		{"not a picture", line, map[string][]byte{"a.png": []byte("GIF89a")}, "metadata.jsonl:1: a.png: the content is neither PNG nor JPEG"},
		{"empty picture", line, map[string][]byte{"a.png": nil}, "metadata.jsonl:1: a.png: the content is neither PNG nor JPEG"},
		{"cut off", line, map[string][]byte{"a.png": good[:len(good)-20]}, "metadata.jsonl:1: a.png: "},
		{"larger than its file", line, map[string][]byte{"a.png": large}, "metadata.jsonl:1: a.png: 3000×3000 pixels from 64 bytes: the file is cut or damaged"},
		{"too narrow", line, map[string][]byte{"a.png": narrow}, "metadata.jsonl:1: a.png: 300×1 pixels: too narrow"},
		{"no caption", "\n" + `{"file_name":"a.png"}`, map[string][]byte{"a.png": good}, "metadata.jsonl:2: no caption: want one of the keys text, caption, prompt"},
		{"blank caption", `{"file_name":"a.png","text":" "}`, map[string][]byte{"a.png": good}, `metadata.jsonl:1: key "text" is blank`},
		{"caption a number", `{"file_name":"a.png","text":3}`, map[string][]byte{"a.png": good}, `metadata.jsonl:1: key "text" is 3, want a string`},
		{"two captions", `{"file_name":"a.png","text":"t","caption":"u"}`, map[string][]byte{"a.png": good}, `metadata.jsonl:1: two captions, "t" and "u"`},
		{"no file name", `{"text":"t"}`, map[string][]byte{"a.png": good}, `metadata.jsonl:1: no "file_name"`},
		{"a GIF", `{"file_name":"a.gif","text":"t"}`, map[string][]byte{}, `metadata.jsonl:1: file name "a.gif" is neither PNG nor JPEG`},
		{"unlisted", line, map[string][]byte{"a.png": good, "sub/b.JPG": good}, filepath.FromSlash("sub/b.JPG") + ": this picture has no line in metadata.jsonl"},
		{"metadata a list", `{"file_name":"a.png","text":"t","metadata":[]}`, map[string][]byte{"a.png": good}, `key "metadata" is [], want an object`},
	} {
		_, err := Open(folder(t, c.metadata, c.files), shape(3, 4, 4))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.name, err, c.want)
		}
	}
}

func TestSymlinkOutOfTheFolder(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret.png")
	if err := os.WriteFile(outside, encode(t, "a.png", picture(4, 4)), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, `{"file_name":"a.png","text":"t"}`, map[string][]byte{})
	if err := os.Symlink(outside, filepath.Join(dir, "a.png")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if _, err := Open(dir, shape(3, 4, 4)); err == nil || !strings.Contains(err.Error(), "metadata.jsonl:1: a.png: ") {
		t.Errorf("a link that leaves the folder: error %v", err)
	}
}

func TestOptionsErrors(t *testing.T) {
	t.Parallel()
	dir := folder(t, `{"file_name":"a.png","text":"t"}`, map[string][]byte{"a.png": encode(t, "a.png", picture(4, 4))})
	for _, o := range []Options{
		shape(2, 4, 4), shape(3, 0, 4), shape(3, 4, -1), shape(3, 4, 1<<20),
		{C: 3, H: 4, W: 4, Crop: 7}, {C: 3, H: 4, W: 4, HeldOutFraction: 1}, {C: 3, H: 4, W: 4, HeldOutFraction: math.NaN()},
	} {
		if _, err := Open(dir, o); err == nil {
			t.Errorf("Open with %+v: no error", o)
		}
	}
	if _, err := Open(dir, Options{C: 3, H: 4, W: 4, HeldOutFraction: .5}); err == nil {
		t.Error("one picture cannot be split in two")
	}
	if _, err := Open(filepath.Join(dir, "nowhere"), shape(3, 4, 4)); err == nil {
		t.Error("a folder that does not exist was opened")
	}
}

// A picture of the wanted size must come through unchanged.
func TestExampleIsThePicture(t *testing.T) {
	t.Parallel()
	src := picture(6, 4)
	dir := folder(t, `{"file_name":"a.png","text":"t"}`, map[string][]byte{"a.png": encode(t, "a.png", src)})
	for _, c := range []int{1, 3} {
		f, err := Open(dir, shape(c, 4, 6))
		if err != nil {
			t.Fatal(err)
		}
		got, want := task.NewImage(c, 4, 6), task.NewImage(c, 4, 6)
		want.FromImage(src)
		if p := f.Split(task.Train).Example(rng.Key{Seed: 1}, got); p.Text != "t" {
			t.Errorf("caption %q", p.Text)
		}
		if !slices.Equal(got.Pix, want.Pix) {
			t.Errorf("C=%d: picture differs from Image.FromImage", c)
		}
	}
}

// Scaling keeps constant areas constant, and the crop is in the middle of the
// longer side: a picture of three stripes is cropped to the second.
func TestCentreCrop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ w, h int }{{60, 20}, {20, 60}, {120, 40}, {30, 10}} {
		src := image.NewNRGBA(image.Rect(0, 0, c.w, c.h))
		for i := range c.w * c.h {
			x, y := i%c.w, i/c.w
			v := uint8(0)
			if 3*x/c.w == 1 && c.w > c.h || 3*y/c.h == 1 && c.h > c.w {
				v = 255
			}
			src.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
		}
		dir := folder(t, `{"file_name":"a.png","text":"t"}`, map[string][]byte{"a.png": encode(t, "a.png", src)})
		f, err := Open(dir, shape(3, 20, 20))
		if err != nil {
			t.Fatal(err)
		}
		im := task.NewImage(3, 20, 20)
		f.Split(task.Train).Example(rng.Key{}, im)
		for y := 3; y < 17; y++ { // away from the edges, which the filter blurs
			for x := 3; x < 17; x++ {
				if v := im.At(0, x, y); math.Abs(float64(v)-1) > 2*eightBit {
					t.Fatalf("%d×%d: pixel (%d, %d) = %v, want 1", c.w, c.h, x, y, v)
				}
			}
		}
	}
}

func TestRandomCropReachesEveryOffset(t *testing.T) {
	t.Parallel()
	dir := folder(t, `{"file_name":"a.png","text":"t"}`, map[string][]byte{"a.png": encode(t, "a.png", picture(8, 4))})
	f, err := Open(dir, Options{C: 3, H: 4, W: 4, Crop: Random})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[float32]int{}
	for i := range 500 {
		im := task.NewImage(3, 4, 4)
		f.Split(task.Train).Example(rng.Key{Purpose: rng.Data, Iteration: uint32(i)}, im)
		seen[im.At(0, 0, 0)]++
	}
	for left, n := range seen {
		if n < 60 { // 100 expected, standard deviation 9
			t.Errorf("crop with left edge %v was drawn %d times of 500", left, n)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d different crops, want the 5 there are", len(seen))
	}
}

func TestTransparentBecomesWhite(t *testing.T) {
	t.Parallel()
	dir := folder(t, `{"file_name":"a.png","text":"t"}`,
		map[string][]byte{"a.png": encode(t, "a.png", image.NewNRGBA(image.Rect(0, 0, 9, 9)))})
	for _, size := range []int{9, 4} {
		f, err := Open(dir, shape(3, size, size))
		if err != nil {
			t.Fatal(err)
		}
		im := task.NewImage(3, size, size)
		f.Split(task.Train).Example(rng.Key{}, im)
		if least := slices.Min(im.Pix); least < 1-2*eightBit {
			t.Errorf("size %d: a transparent picture has a value of %v, want 1", size, least)
		}
	}
}

// many returns a folder of n small pictures, each of its own grey.
func many(t testing.TB, n int, reverse bool) string {
	files, list := map[string][]byte{}, []string{}
	for i := range n {
		im := image.NewGray(image.Rect(0, 0, 4, 4))
		for k := range im.Pix {
			im.Pix[k] = uint8(i)
		}
		name := fmt.Sprintf("%03d.png", i)
		files[name] = encode(t, name, im)
		list = append(list, fmt.Sprintf(`{"file_name":%q,"text":"picture %d"}`, name, i))
	}
	if reverse {
		slices.Reverse(list)
	}
	return folder(t, strings.Join(list, "\n"), files)
}

func texts(s *Set) []string {
	var out []string
	for _, p := range s.Prompts() {
		out = append(out, p.Text)
	}
	slices.Sort(out)
	return out
}

func TestSplitDependsOnSeedAndNameOnly(t *testing.T) {
	t.Parallel()
	o := Options{C: 1, H: 4, W: 4, HeldOutFraction: .25, Seed: 3}
	open := func(dir string, o Options) *Folder {
		f, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	dir, reversed := many(t, 100, false), many(t, 100, true)
	a, b := open(dir, o), open(reversed, o)
	if !slices.Equal(texts(a.Split(task.HeldOut)), texts(b.Split(task.HeldOut))) {
		t.Error("the order of the lines moved pictures between the splits")
	}
	if n := a.Split(task.HeldOut).Len(); n < 12 || n > 38 || n+a.Split(task.Train).Len() != 100 { // 3 standard deviations
		t.Errorf("%d of 100 held out, want about 25", n)
	}
	o.Seed++
	if slices.Equal(texts(a.Split(task.HeldOut)), texts(open(dir, o).Split(task.HeldOut))) {
		t.Error("another seed gives the same split")
	}
	for _, held := range texts(a.Split(task.HeldOut)) {
		if slices.Contains(texts(a.Split(task.Train)), held) {
			t.Errorf("%q is in both splits", held)
		}
	}
}

func TestExampleIsAFunctionOfTheKey(t *testing.T) {
	t.Parallel()
	f, err := Open(many(t, 20, false), shape(1, 4, 4))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Split(task.Train)
	count := map[string]int{}
	for i := range 2000 {
		key := rng.Key{Seed: 9, Purpose: rng.Data, Iteration: uint32(i)}
		a, b := task.NewImage(1, 4, 4), task.NewImage(1, 4, 4)
		pa, pb := s.Example(key, a), s.Example(key, b)
		if pa.Text != pb.Text || !slices.Equal(a.Pix, b.Pix) {
			t.Fatalf("key %v gives two examples", key)
		}
		if want := fmt.Sprintf("picture %d", int(math.Round((float64(a.Pix[0])+1)*127.5))); pa.Text != want {
			t.Fatalf("caption %q on %q", pa.Text, want)
		}
		count[pa.Text]++
	}
	for text, n := range count {
		if n < 50 || n > 150 { // 100 expected, standard deviation 10
			t.Errorf("%q was drawn %d times of 2000", text, n)
		}
	}
	if len(count) != 20 {
		t.Errorf("%d of 20 pictures were drawn", len(count))
	}
}

func TestExampleMisusePanics(t *testing.T) {
	t.Parallel()
	f, err := Open(many(t, 2, false), shape(1, 4, 4))
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(){
		"shape": func() { f.Split(task.Train).Example(rng.Key{}, task.NewImage(3, 4, 4)) },
		"empty": func() { f.Split(task.HeldOut).Example(rng.Key{}, task.NewImage(1, 4, 4)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(`{"file_name":"a.png","text":"t"}`))
	f.Add([]byte("\ufeff{\"file_name\":\"../x/a.jpg\",\"caption\":\"t\"}\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var entries []entry
		var err error
		costtest.Bounded(t, len(data), func() { entries, err = parseMetadata("m", bytes.NewReader(data)) })
		if err != nil {
			if !strings.HasPrefix(err.Error(), "m:") {
				t.Fatalf("error %q does not name the file", err)
			}
			return
		}
		for _, e := range entries {
			if !filepath.IsLocal(e.file) || e.prompt.Text == "" {
				t.Fatalf("accepted %q with caption %q", e.file, e.prompt.Text)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, "a.png", picture(3, 5)))
	f.Add(encode(f, "a.jpg", picture(9, 2)))
	dir := f.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		if err := root.WriteFile("a", data, 0o644); err != nil {
			t.Fatal(err)
		}
		config, _, err := image.DecodeConfig(bytes.NewReader(data))
		pixels := 0 // what may be allocated for them depends on how many there are
		if err == nil && checkSize(config.Width, config.Height, len(data)) == nil {
			pixels = config.Width * config.Height
		}
		costtest.Bounded(t, len(data)+4*pixels, func() {
			if im, err := decode(root, "a", shape(3, 4, 4)); err == nil && (im.Bounds().Dx() < 4 || im.Bounds().Dy() < 4) {
				t.Fatalf("picture of %v does not cover 4×4", im.Bounds())
			}
		})
	})
}

func BenchmarkExample(b *testing.B) {
	dir := folder(b, `{"file_name":"a.png","text":"t"}`, map[string][]byte{"a.png": encode(b, "a.png", picture(48, 16))})
	f, err := Open(dir, Options{C: 3, H: 16, W: 48, Crop: Random})
	if err != nil {
		b.Fatal(err)
	}
	im := task.NewImage(3, 16, 48)
	for i := range b.N {
		f.Split(task.Train).Example(rng.Key{Iteration: uint32(i)}, im)
	}
}
