package clip

import "container/heap"

// Byte-pair encoding (Sennrich et al., arXiv:1508.07909): of all neighbours in a word that
// the list of merges has, those that come first in it become one symbol, the leftmost
// first, until there are none. With a queue, long words take no longer than their length.

// A merge is what two neighbouring symbols become, and its place in the list.
type merge struct {
	symbol, rank int
}

// merges maps two neighbours to their merge.
type merges map[[2]int]merge

// apply merges the symbols of a word and returns what is left, in its memory.
func (m merges) apply(word []int) []int {
	w := &mergedWord{merges: m, symbols: word, next: make([]int, len(word)), prev: make([]int, len(word))}
	for i := range word {
		w.prev[i], w.next[i] = i-1, i+1
	}
	for i := range word {
		w.consider(i)
	}
	for len(w.queue) > 0 {
		w.merge(heap.Pop(&w.queue).(candidate))
	}
	left := word[:0]
	for i := 0; i < len(w.next); i = w.next[i] {
		left = append(left, w.symbols[i])
	}
	return left
}

// A mergedWord is a word on its way: a list of symbols, in which the right one of two that
// were merged is skipped.
type mergedWord struct {
	merges
	symbols, prev, next []int
	queue               queue
}

// A candidate is the merge of the symbol at a place with the next one, as they were.
type candidate struct {
	merge
	at   int
	pair [2]int
}

// consider puts the merge of symbol i with the next one in the queue, if there is one.
func (w *mergedWord) consider(i int) {
	if i < 0 || w.next[i] == len(w.next) {
		return
	}
	pair := [2]int{w.symbols[i], w.symbols[w.next[i]]}
	if m, ok := w.merges[pair]; ok {
		heap.Push(&w.queue, candidate{m, i, pair})
	}
}

// gone marks a symbol that is part of the one before.
const gone = -1

// merge applies c, unless another merge has taken one of its symbols.
func (w *mergedWord) merge(c candidate) {
	i, end := c.at, len(w.next)
	j := w.next[i]
	if j == end || w.symbols[i] != c.pair[0] || w.symbols[j] != c.pair[1] {
		return
	}
	w.symbols[i], w.symbols[j] = c.symbol, gone
	w.next[i] = w.next[j]
	if w.next[i] != end {
		w.prev[w.next[i]] = i
	}
	w.consider(w.prev[i])
	w.consider(i)
}

// A queue orders candidates by rank, then place: a heap.
type queue []candidate

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q queue) Less(i, j int) bool {
	return q[i].rank < q[j].rank || q[i].rank == q[j].rank && q[i].at < q[j].at
}
func (q *queue) Push(x any) { *q = append(*q, x.(candidate)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
