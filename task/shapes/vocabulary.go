package shapes

// A class is an index into classes, a hue one into hues.
type (
	class int
	hue   int
)

const (
	circle class = iota
	square
	triangle
	cross
	ring
	numClasses
)

const (
	red hue = iota
	green
	blue
	yellow
	purple
	cyan
	numHues
	anyHue hue = -1 // the caption does not say
)

var (
	classNames = [numClasses]string{"circle", "square", "triangle", "cross", "ring"}
	plurals    = [numClasses]string{"circles", "squares", "triangles", "crosses", "rings"}
	hueNames   = [numHues]string{"red", "green", "blue", "yellow", "purple", "cyan"}
	numbers    = [...]string{2: "two", 3: "three", 4: "four"}
	relations  = [...]string{"left of", "right of", "above", "below"}
)

// palette holds the hues in 8-bit RGB. They are spread over the colour circle
// and far from every grey, so that an edge pixel, which mixes a hue with the
// neutral ground, is still nearest to the line of its own hue.
var palette = [numHues][3]float64{
	red:    {222, 40, 40},
	green:  {40, 172, 62},
	blue:   {44, 84, 226},
	yellow: {236, 206, 36},
	purple: {186, 54, 206},
	cyan:   {46, 200, 214},
}

// The combinations that fine-tuning never sees: each class loses one hue (and red
// is never lost), two of the ten pairs go, and one class for each count.
var (
	heldOutHue = [numClasses]hue{circle: purple, square: cyan, triangle: blue, cross: yellow, ring: green}

	heldOutPairs = [...][2]class{{circle, triangle}, {square, ring}}

	heldOutCount = map[class]int{triangle: 2, ring: 3, square: 4}
)

func pairHeldOut(a, b class) bool {
	for _, p := range heldOutPairs {
		if p == [2]class{a, b} || p == [2]class{b, a} {
			return true
		}
	}
	return false
}
