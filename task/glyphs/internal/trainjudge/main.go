// Trainjudge trains the network of the glyphs judge on degraded renderings and
// writes its weights. Equal flags on one machine give equal bytes.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"os"

	"flowgrpo/task/glyphs/internal/judge"
)

func main() {
	out := flag.String("out", "weights.bin", "file to write")
	steps := flag.Int("steps", 5000, "number of steps")
	batch := flag.Int("batch", 128, "examples per step")
	rate := flag.Float64("rate", 3e-3, "learning rate at the start; it falls to 0 along a half cosine")
	flag.Parse()

	tr := newTrainer(seed)
	src := newSource(seed)
	for step := range *steps {
		lr := *rate * (1 + math.Cos(math.Pi*float64(step)/float64(*steps))) / 2
		loss, right := tr.step(src.next(*batch), lr)
		if (step+1)%500 == 0 {
			fmt.Printf("step %5d  loss %.4f  right %.4f\n", step+1, loss, right)
		}
	}
	data, err := tr.net.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, data, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("wrote %s: %d bytes, %d classes\n", *out, len(data), judge.Classes)
}

// seed makes the weights and the examples.
const seed = 11
