package host

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"flowgrpo/reward"
	"flowgrpo/task"
)

// BenchmarkScore scores groups of 24 pictures of noise, the worst case of PNG, with a
// program of the kit that does next to nothing.
func BenchmarkScore(b *testing.B) {
	for _, size := range []int{32, 512} {
		batch := make([]reward.Sample, 24)
		for i := range batch {
			batch[i] = reward.Sample{Image: task.NewImage(3, size, size), Prompt: task.Prompt{Text: "p"}}
			for k := range batch[i].Image.Pix {
				batch[i].Image.Pix[k] = 2*rand.Float32() - 1
			}
		}
		for _, format := range []string{"png", "float32", "none"} {
			b.Run(fmt.Sprintf("%d %s", size, format), func(b *testing.B) {
				r, err := reward.New("exec", "mine", map[string]any{"command": program("idle", format)}, reward.Deps{})
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					got, err := r.Score(b.Context(), batch)
					if err != nil || got[0].Err != nil {
						b.Fatal(got[0], err)
					}
				}
				if err := reward.Close(r); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
