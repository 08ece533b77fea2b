package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"flowgrpo/internal/jsonfile"
	"flowgrpo/internal/longtest"
)

// TestReference reads a file of the reference implementation, see testdata/reference.py.
func TestReference(t *testing.T) {
	f, err := Read("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	third := float64(float32(1) / 3)
	want := []Tensor{
		{Name: "bf16", DType: BF16, Shape: []int{2}, Data: []float32{0x1.56p-2, -0x1.2cp126}},
		{Name: "bool", DType: Bool, Shape: []int{2}, Data: []float32{1, 0}},
		{Name: "e4m3", DType: F8E4M3, Shape: []int{3}, Data: []float32{0x1.6p-2, -448, 0x1p-9}},
		{Name: "e5m2", DType: F8E5M2, Shape: []int{3}, Data: []float32{0x1.4p-2, -57344, 0x1p-16}},
		{Name: "empty", DType: F32, Shape: []int{0, 3}},
		{Name: "f16", DType: F16, Shape: []int{2}, Data: []float32{0x1.554p-2, -65504}},
		{Name: "f32", DType: F32, Shape: []int{2, 2}, Data: []float32{1.5, 0, 1e-45, 3.4e38}},
		{Name: "f64", DType: F64, Shape: []int{2}, Data: []float32{float32(third), float32(math.Inf(-1))}, Data64: []float64{1. / 3, -1e300}},
		{Name: "i16", DType: I16, Shape: []int{1}, Data: []float32{-1 << 15}},
		{Name: "i32", DType: I32, Shape: []int{1, 1}, Data: []float32{1 << 31}, Data64: []float64{math.MaxInt32}},
		{Name: "i64", DType: I64, Shape: []int{1}, Data: []float32{-1 << 40}, Data64: []float64{-1 << 40}},
		{Name: "i8", DType: I8, Shape: []int{2}, Data: []float32{-128, 127}},
		{Name: "scalar", DType: F32, Data: []float32{2.5}},
		{Name: "u16", DType: U16, Shape: []int{1}, Data: []float32{1<<16 - 1}},
		{Name: "u32", DType: U32, Shape: []int{1}, Data: []float32{1 << 32}, Data64: []float64{1<<32 - 1}},
		{Name: "u64", DType: U64, Shape: []int{1}, Data: []float32{1 << 63}, Data64: []float64{1<<63 + 1<<11}},
		{Name: "u8", DType: U8, Shape: []int{2}, Data: []float32{0, 255}},
	}
	if d := cmp.Diff(want, values(t, f), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"format": "pt", "note": "é \"quoted\""}, f.Metadata); d != "" {
		t.Errorf("metadata (-want +got)\n%s", d)
	}
}

// verdicts asks the reference implementation which files it reads; "+" if it does.
func verdicts(t *testing.T, files [][]byte) []byte {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("python3 is not installed")
	}
	var in bytes.Buffer
	for _, f := range files {
		in.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(f))))
		in.Write(f)
	}
	c := exec.Command(python, "testdata/verdicts.py")
	c.Stdin = &in
	out, err := c.Output()
	if err != nil || len(out) != len(files) {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Logf("%s", failed.Stderr)
		}
		t.Fatalf("%d verdicts for %d files, %v (contrib/goldens/requirements.txt lists safetensors)", len(out), len(files), err)
	}
	return out
}

// The reference implementation reads what we accept, and of what we refuse only what
// the tables say it does.
func TestReferenceAgrees(t *testing.T) {
	longtest.Only(t)
	var files [][]byte
	for _, tc := range refused {
		files = append(files, tc.file)
	}
	for _, tc := range accepted {
		files = append(files, tc.file)
	}
	got := verdicts(t, files)
	for i, tc := range refused {
		if lenient := got[i] == '+'; lenient != tc.lenient {
			t.Errorf("%s: the reference reads it: %t, want %t", tc.name, lenient, tc.lenient)
		}
	}
	for i, tc := range accepted {
		if got[len(refused)+i] != '+' {
			t.Errorf("%s: the reference refuses it", tc.name)
		}
	}
}

// strictness are parts of the errors for what the reference implementation lets pass.
var strictness = []string{
	"header must begin with '{', found ' '", `found '\n'`, `found '\t'`, `found '\r'`, "not a JSON object padded with spaces",
	"is defined twice", "unknown field", `is not supported`, "must be an object, found [", "; the limit is 16", "bytes; the limit is 1024",
}

// Among files that are changed at random, there is none that we read and the
// reference implementation refuses, and none the other way round but for the reasons
// that strictness lists.
func TestReferenceAgreesOnMutants(t *testing.T) {
	longtest.Only(t)
	const rounds, batch = 50, 20_000
	read := 0
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		files := make([][]byte, batch)
		for i := range files {
			files[i] = mutate(random, accepted[random.IntN(len(accepted))].file)
		}
		got := verdicts(t, files)
		for i, file := range files {
			_, err := readBytes(file)
			if err == nil {
				read++
			}
			switch {
			case err == nil && got[i] != '+':
				t.Fatalf("only we read %q", file)
			case err != nil && got[i] == '+' && !containsAny(err.Error(), strictness) && !repeats(file):
				t.Fatalf("only we refuse %q: %v", file, err)
			}
		}
	}
	t.Logf("of %d files we read %d", rounds*batch, read)
	if read < rounds*batch/100 {
		t.Error("hardly any: the comparison says little")
	}
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// repeats reports whether a header has a name twice: of the first one the reference
// implementation does not look at anything.
func repeats(file []byte) bool {
	seen, twice := map[string]bool{}, false
	header := file[8 : 8+binary.LittleEndian.Uint64(file)]
	return checkJSON(header) == nil && jsonfile.Members(header, func(key, _ []byte) error {
		twice = twice || seen[string(key)]
		seen[string(key)] = true
		return nil
	}) == nil && twice
}

// mutate changes a file in one to three places, and corrects the header length most of
// the time, so that the change is looked at.
func mutate(random *rand.Rand, file []byte) []byte {
	const alphabet = "{}[]\",:0123456789-+.eE \\u\n\tabcdefF"
	n := int(binary.LittleEndian.Uint64(file))
	header, data := append([]byte{}, file[8:8+n]...), file[8+n:]
	for range 1 + random.IntN(3) {
		if len(header) == 0 {
			break
		}
		at, c := random.IntN(len(header)), alphabet[random.IntN(len(alphabet))]
		switch random.IntN(4) {
		case 0:
			header[at] = c
		case 1:
			header = append(header[:at], header[at+1:]...)
		case 2:
			header = append(header[:at], append([]byte{c}, header[at:]...)...)
		case 3: // repeat a piece
			end := at + random.IntN(len(header)-at)
			header = append(header[:end], append(bytes.Clone(header[at:end]), header[end:]...)...)
		}
	}
	out := raw(string(header), data...)
	switch random.IntN(20) {
	case 0:
		out = out[:len(out)-random.IntN(len(data)+1)]
	case 1:
		out = append(out, data...)
	case 2, 3:
		out[random.IntN(8)] ^= 1 << random.IntN(8)
	}
	return out
}
