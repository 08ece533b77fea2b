package policy

import (
	"os/exec"
	"path/filepath"
	"testing"

	"flowgrpo/internal/longtest"
	"flowgrpo/internal/safetensors"
)

// Folders written here load in diffusers and PEFT with no key missing or
// unexpected, and compute there what they compute here. The other direction is
// TestParityWithDiffusers, whose folders diffusers wrote.
func TestDiffusersReadsOurFolders(t *testing.T) {
	longtest.Only(t)
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	if out, err := exec.Command(python, "-c", "import diffusers, peft").CombinedOutput(); err != nil {
		t.Skipf("python3 has no diffusers or no peft (contrib/goldens/requirements.txt lists them): %s", out)
	}
	m, plain, adapter := tinyModel(), filepath.Join(t.TempDir(), "plain"), filepath.Join(t.TempDir(), "adapter")
	if err := m.AddLoRA(LoRA{Rank: 3, Alpha: 12, Targets: []string{"attn.to_q", "attn2.to_v", "ff.net.2", "proj", "proj_out", "norm1.linear"}}, 1); err != nil {
		t.Fatal(err)
	}
	noisy(m.Adapter, 9)
	base, merged := Theta{Base: m.Weights}, filepath.Join(t.TempDir(), "merged")
	for _, err := range []error{
		Save(plain, m, base, SaveOptions{}),
		Save(merged, m, m.Theta(), SaveOptions{Metadata: map[string]string{"run": "test"}}),
		SaveAdapter(adapter, m, m.Theta(), SaveOptions{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		theta Theta
		args  []string
	}{
		{"model", base, []string{plain}},
		{"merged model", m.Theta(), []string{merged}},
		{"PEFT adapter", m.Theta(), []string{plain, "--adapter", adapter}},
		{"pipeline with diffusers adapter", m.Theta(), []string{plain, "--adapter", adapter, "--pipeline"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"../contrib/check_diffusers.py", "--tolerance", "1e-5"}, c.args...)
			args = append(args, writeExample(t, m, c.theta)...)
			if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
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
