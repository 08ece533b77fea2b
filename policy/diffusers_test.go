package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/internal/jsonfile"
	"flowgrpo/internal/longtest"
	"flowgrpo/internal/safetensors"
)

// What diffusers wrote is written back with the same files of weights and settings:
// every tensor by name, shape, type and bits, every key and value of the JSON files.
func TestFoldersGoBackToDiffusers(t *testing.T) {
	t.Parallel()
	pipeline := filepath.Join(reference, "pipeline")
	for _, name := range []string{"sd3", "sd35", "sd35m", "crop", "wide", "single", "sharded", "pipeline"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs, ours := filepath.Join(reference, name), filepath.Join(t.TempDir(), "model")
			m, err := Load(os.DirFS(theirs))
			if err != nil {
				t.Fatal(err)
			}
			if err := Save(ours, m, m.Theta(), SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(storedIn(t, theirs), storedIn(t, ours)); d != "" {
				t.Errorf("tensors differ (-theirs +ours):\n%s", d)
			}
			if d := cmp.Diff(readObject(t, theirs, "transformer/config.json"), readObject(t, ours, "transformer/config.json")); d != "" {
				t.Errorf("config.json differs (-theirs +ours):\n%s", d)
			}
			// The folders of one network have no index; that of the pipeline holds for all.
			if d := cmp.Diff(readObject(t, pipeline, indexFile), readObject(t, ours, indexFile)); d != "" {
				t.Errorf("%s differs (-theirs +ours):\n%s", indexFile, d)
			}
		})
	}
}

// stored is a tensor in a file.
type stored struct {
	Type  safetensors.DType
	Shape []int
	Bits  string // a digest: a difference is then a line
}

// storedIn returns the tensors of a model folder's network by name.
func storedIn(t *testing.T, dir string) map[string]stored {
	t.Helper()
	f, err := safetensors.Read(filepath.Join(dir, networkFolder))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]stored{}
	for _, e := range f.Entries() {
		tensor, err := f.Tensor(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.New()
		if err := binary.Write(digest, binary.LittleEndian, tensor.Data); err != nil {
			t.Fatal(err)
		}
		all[tensor.Name] = stored{tensor.DType, tensor.Shape, fmt.Sprintf("%x", digest.Sum(nil))}
	}
	return all
}

func readObject(t *testing.T, dir, name string) (object map[string]any) {
	t.Helper()
	if err := jsonfile.Read(os.DirFS(dir), name, &object, false); err != nil {
		t.Fatal(err)
	}
	return object
}

// Folders written here load in diffusers and PEFT with no key missing or
// unexpected, and compute there what they compute here. The other direction is
// TestParityWithDiffusers, whose folders diffusers wrote.
func TestDiffusersReadsOurFolders(t *testing.T) {
	longtest.Only(t)
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("python3 is not installed")
	}
	if out, err := exec.Command(python, "-c", "import diffusers, peft").CombinedOutput(); err != nil {
		t.Fatalf("python3 has no diffusers or no peft (contrib/goldens/requirements.txt lists them): %s", out)
	}
	plain, sd3 := tinyModel(), tinyMMDiT()
	sd3.DualAttentionLayers, sd3.QKNorm = nil, ""
	old := NewModel(sd3, nil, 1)
	noisy(old.Weights, 8)
	adapted := tinyModel()
	if err := adapted.AddLoRA(LoRA{Rank: 3, Alpha: 12, Targets: []string{"attn.to_q", "attn2.to_v", "ff.net.2", "proj", "proj_out", "norm1.linear"}}, 1); err != nil {
		t.Fatal(err)
	}
	noisy(adapted.Adapter, 9)
	adapter := filepath.Join(t.TempDir(), "adapter")
	if err := SaveAdapter(adapter, adapted, adapted.Theta(), SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		saved    Theta
		model    *Model
		computes Theta
		half     bool
		args     []string
	}{
		{"model", plain.Theta(), plain, plain.Theta(), false, nil},
		{"model like SD3", old.Theta(), old, old.Theta(), false, nil},
		{"half precision", plain.Theta(), plain, plain.Theta(), true, nil},
		{"merged model", adapted.Theta(), adapted, adapted.Theta(), false, nil},
		{"PEFT adapter", Theta{Base: adapted.Weights}, adapted, adapted.Theta(), false, []string{"--adapter", adapter}},
		{"pipeline with diffusers adapter", Theta{Base: adapted.Weights}, adapted, adapted.Theta(), false, []string{"--adapter", adapter, "--pipeline"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			if err := Save(dir, c.model, c.saved, SaveOptions{Half: c.half, Metadata: map[string]string{"run": "test"}}); err != nil {
				t.Fatal(err)
			}
			m, theta := c.model, c.computes
			if c.half { // compare with what rounding left
				if m, err = Load(os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				theta = m.Theta()
			}
			args := append([]string{"../contrib/check_diffusers.py", "--tolerance", "1e-5", dir}, c.args...)
			args = append(args, writeExample(t, m, theta)...)
			out, err := exec.Command(python, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// writeExample writes inputs and the velocity of m there, and returns the arguments
// that name them.
func writeExample(t *testing.T, m *Model, theta Theta) []string {
	t.Helper()
	const n, sigma = 2, 0.25
	s := m.Network.Shape()
	random := func(i, size int) []float32 {
		x := make([]float32, size)
		paramKey(60, i).Normals(x)
		return x
	}
	x, hidden, pooled := random(0, n*s.Dim()), random(1, n*s.Tokens*s.Joint), random(2, n*s.Pooled)
	var cond []Condition
	for i := range n {
		cond = append(cond, Condition{hidden[i*s.Tokens*s.Joint : (i+1)*s.Tokens*s.Joint], pooled[i*s.Pooled : (i+1)*s.Pooled]})
	}
	v := make([]float32, len(x))
	if err := m.NewReplica(theta).VelocityAt(v, x, []float32{sigma, sigma}, cond); err != nil {
		t.Fatal(err)
	}
	pictures := []int{n, s.Channels, s.Height, s.Width}
	inputs, output := filepath.Join(t.TempDir(), "in.safetensors"), filepath.Join(t.TempDir(), "out.safetensors")
	for file, tensors := range map[string][]safetensors.Tensor{
		inputs: {
			{Name: "hidden_states", Shape: pictures, Data: x},
			{Name: "encoder_hidden_states", Shape: []int{n, s.Tokens, s.Joint}, Data: hidden},
			{Name: "pooled_projections", Shape: []int{n, s.Pooled}, Data: pooled},
			{Name: "timestep", Shape: []int{n}, Data: []float32{timeScale * sigma, timeScale * sigma}},
		},
		output: {{Name: "output", Shape: pictures, Data: v}},
	} {
		if err := safetensors.Write(file, tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--inputs", inputs, "--output", output}
}
