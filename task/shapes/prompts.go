package shapes

import (
	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// heldOut holds the requests of a task that evaluation uses.
type heldOut struct {
	seen   []request // of known combinations; training's own in single_object and counting
	unseen []request // of held-out combinations, which training does not use
}

// How many texts of known combinations are kept from training. Two-object
// captions are split by word order instead; single_object and counting have too
// few texts to give any away.
var keptBack = [tasks]int{colors: 6, position: 16, colorAttr: 48}

// split returns which requests of task t, of all, are for training and which for
// evaluation.
func split(all []request, t tag) (train []request, held heldOut) {
	for _, q := range shuffled(all, uint32(t)) {
		switch {
		case q.unseen:
			held.unseen = append(held.unseen, q)
		case len(held.seen) < keptBack[t], t == twoObject && reversed(q):
			held.seen = append(held.seen, q)
		default:
			train = append(train, q)
		}
	}
	if t == singleObject || t == counting {
		held.seen = train
	}
	return train, held
}

// reversed chooses one of the two orders of a pair, so that every class comes
// first in some and second in others.
func reversed(q request) bool {
	a, b := q.want[0].class, q.want[1].class
	return (a < b) == ((a+b)%2 == 0)
}

// enumerate returns every request of a task, in a fixed order.
func enumerate(t tag) (all []request) {
	one := func(c class, h hue) want { return want{class: c, count: 1, hue: h, relation: -1} }
	for a := range numClasses {
		switch t {
		case singleObject:
			all = append(all, newRequest(t, one(a, anyHue)))
		case counting:
			for n := 2; n <= maxObjects; n++ {
				all = append(all, newRequest(t, want{class: a, count: n, hue: anyHue, relation: -1}))
			}
		case colors:
			for h := range numHues {
				all = append(all, newRequest(t, one(a, h)))
			}
		default:
			for b := range numClasses {
				if a != b {
					all = append(all, pairs(t, one(a, anyHue), one(b, anyHue))...)
				}
			}
		}
	}
	return all
}

// pairs returns the requests of a task for two classes in a given order.
func pairs(t tag, a, b want) (all []request) {
	switch t {
	case twoObject:
		return []request{newRequest(t, a, b)}
	case position:
		for rel := range relations {
			b.relation = rel
			all = append(all, newRequest(t, a, b))
		}
	case colorAttr:
		for a.hue = range numHues {
			for b.hue = range numHues {
				if a.hue != b.hue {
					all = append(all, newRequest(t, a, b))
				}
			}
		}
	}
	return all
}

// trainShare is the number of prompts of each task in the training set. As in the
// paper, a task that the base model does badly has more; ours has most to learn in
// attribution and counting, then in position, where the paper's shares are
// position, counting, attribution, colours and two objects as 7:5:3:1:1. Single
// objects, which the paper leaves out, are there so that they are not forgotten.
var trainShare = [tasks]int{singleObject: 28, twoObject: 84, counting: 280, colors: 56, position: 252, colorAttr: 280}

func trainPrompts(known [tasks][]request) []task.Prompt {
	var all []request
	for t := range tasks {
		all = append(all, cycle(known[t], trainShare[t])...)
	}
	return number(shuffled(all, uint32(tasks)))
}

// Held-out prompts of each task: those of known and those of held-out
// combinations.
const (
	heldOutSeen   = 28
	heldOutUnseen = 20
)

func heldOutPrompts(held [tasks]heldOut) []task.Prompt {
	var byTask [tasks][]request
	for t, h := range held {
		if len(h.unseen) == 0 {
			byTask[t] = cycle(h.seen, heldOutSeen+heldOutUnseen)
			continue
		}
		all := append(cycle(h.seen, heldOutSeen), cycle(h.unseen, heldOutUnseen)...)
		byTask[t] = shuffled(all, uint32(tasks)+1+uint32(t))
	}
	var all []request
	for i := range heldOutSeen + heldOutUnseen {
		for t := range tasks {
			all = append(all, byTask[t][i])
		}
	}
	return number(all)
}

// cycle returns n requests, going round pool as often as needed.
func cycle(pool []request, n int) []request {
	out := make([]request, n)
	for i := range out {
		out[i] = pool[i%len(pool)]
	}
	return out
}

// shuffled returns a copy of s in an order that depends on stream only.
func shuffled(s []request, stream uint32) []request {
	s = append([]request(nil), s...)
	r := rng.Key{Purpose: rng.Shuffle, Prompt: stream}.Rand()
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
	return s
}

func number(s []request) []task.Prompt {
	out := make([]task.Prompt, len(s))
	for i, q := range s {
		out[i] = q.prompt
		out[i].ID = uint32(i)
	}
	return out
}
