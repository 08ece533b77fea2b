package glyphs

// The prices of the dynamic program, in pixels of explained ink energy. A
// character explains from 8 (I) to 40 of them.
const (
	charPrice   = 2.0 // for each character: one good fit beats two half ones
	switchPrice = 3.0 // for a change of style or line within the word
)

// An arc is a character that fits: it covers columns [from, from+w).
type arc struct {
	from, w, state, char int
	score                float32
}

// A lattice collects arcs by the column they end in and finds the best path
// from the left edge to the right. Columns that no arc covers are free.
type lattice struct {
	states int
	arcs   [width + 1][]arc
	nodes  []node
}

// A node is the best path to a column that ended in a state.
type node struct {
	score float32
	last  arc // the last character; w is 0 if there is none
	prev  int // the node before it
}

func (l *lattice) reset(states int) {
	l.states = states
	for i := range l.arcs {
		l.arcs[i] = l.arcs[i][:0]
	}
	l.nodes = append(l.nodes[:0], make([]node, (width+1)*states)...)
}

// offer adds character char of a state, at columns [x, x+w).
func (l *lattice) offer(state, x, w, char int, score float32) {
	l.arcs[x+w] = append(l.arcs[x+w], arc{x, w, state, char, score})
}

// decode returns the word on the best path. Equal scores go to the arc offered
// first.
func (l *lattice) decode() string {
	for x := 1; x <= width; x++ {
		for s := range l.states { // leave column x-1 free
			i := x*l.states + s
			l.nodes[i] = l.nodes[i-l.states]
		}
		for _, a := range l.arcs[x] {
			from := a.from*l.states + a.state
			score := l.nodes[from].score
			if top := l.best(a.from); l.nodes[top].score-switchPrice > score {
				from, score = top, l.nodes[top].score-switchPrice
			}
			score += a.score - charPrice
			if to := &l.nodes[x*l.states+a.state]; score > to.score {
				*to = node{score: score, last: a, prev: from}
			}
		}
	}
	best := l.best(width)
	var word [width]byte
	n := len(word)
	for i := best; l.nodes[i].last.w > 0; i = l.nodes[i].prev {
		n--
		word[n] = Alphabet[l.nodes[i].last.char]
	}
	return string(word[n:])
}

// best returns the index of the best node at column x.
func (l *lattice) best(x int) int {
	top := x * l.states
	for i := top; i < (x+1)*l.states; i++ {
		if l.nodes[i].score > l.nodes[top].score {
			top = i
		}
	}
	return top
}
