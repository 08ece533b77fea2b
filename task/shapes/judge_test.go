package shapes

import (
	"testing"
	"slices"
	"flowgrpo/task"
)

func TestJudgeStats(t *testing.T) {
	w, img := New(), newPicture()
	typ := typicalDescriptors()
	for a := range typ { for b := range a { t.Logf("%s-%s %.3f", classNames[a], classNames[b], typ[a].distance(&typ[b])) } }
	for _, s := range []spoil{clean, noisy, both} {
		un, ra := map[string][]float64{}, map[string][]float64{}
		for i := range 1000 {
			w.Example(exampleKey(i), img)
			s.apply(img, i)
			f := newField(img)
			for {
				b, ok := f.nextBody()
				if !ok { break }
				if b.count < minRegion { continue }
				o := f.outline(b)
				d := o.describe()
				var e [numClasses]float64
				for c := range e { e[c] = d.distance(&typ[c]) }
				best := 0
				for c := range e { if e[c] < e[best] { best = c } }
				k := e
				slices.Sort(k[:])
				un[classNames[best]] = append(un[classNames[best]], k[0])
				ra[classNames[best]] = append(ra[classNames[best]], k[1]/k[0])
			}
		}
		for c, v := range un {
			slices.Sort(v); slices.Sort(ra[c]); n := len(v)
			t.Logf("%s %s unlike median %.3f 99%% %.3f max %.3f; contest min %.2f 1%% %.2f n %d", s.name, c, v[n/2], v[n*99/100], v[n-1], ra[c][0], ra[c][n/100], n)
		}
	}
}

func TestJudgeReadsRenderings(t *testing.T) {
	for _, test := range []struct {
		spoil spoil
		want  float64 // strict score of each task
	}{{clean, 0.985}, {noisy, 0.985}, {blurred, 0.985}, {both, 0.97}} {
		share := accuracy(t, NewJudge(), test.spoil, 3000)
		for tag, got := range share {
			t.Logf("%-16s %-13s %.4f", test.spoil.name, tag, got)
			if got < test.want {
				t.Errorf("%s, %s: strict score %.4f, want ≥ %.3f", test.spoil.name, tag, got, test.want)
			}
		}
	}
}

func TestJudgeBlobs(t *testing.T) {
	img := newPicture()
	named := map[string]int{}
	for i := range 1000 {
		blob(img, exampleKey(i).Rand())
		for _, d := range NewJudge().Detect(img) {
			named[d.Class]++
		}
	}
	t.Log(named)
}

func BenchmarkJudge(b *testing.B) {
	w, d := New(), NewJudge()
	imgs := make([]task.Image, 64)
	for i := range imgs {
		imgs[i] = newPicture()
		w.Example(exampleKey(i), imgs[i])
		addNoise(imgs[i], 0.1, i)
	}
	for i := range b.N {
		d.Detect(imgs[i%64])
	}
}
