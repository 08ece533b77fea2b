// Package poly holds the constants of the elementary functions of package
// kernel, shared by the portable code and the generator of the assembly.
//
// The coefficients are minimax fits (Remez exchange, weighted for the relative
// error of the function) rounded to float32, lowest degree first. The bound
// given with each is that of the rounded polynomial in exact arithmetic; half a
// unit in the last place of float32 is 6·10⁻⁸.
package poly

// Exponential: eˣ = 2ⁿ·eʳ with n = round(x·log₂e), r = x - n·ln 2.
const (
	Log2E  = 1.44269504088896340735992468100189214
	Ln2Hi  = 0.693359375                     // 9 bits: n·Ln2Hi is exact
	Ln2Lo  = -2.1219444005469058276787854e-4 // ln 2 - Ln2Hi
	ExpMin = -104                            // below, eˣ rounds to 0
	ExpMax = 89                              // above, eˣ overflows
	Round  = 1.5 * (1 << 23)                 // adding it rounds to an integer
)

// Exp is q in eʳ ≈ 1 + r + r²·q(r) for |r| ≤ ln(2)/2, within 3.7·10⁻⁹.
var Exp = [...]float32{0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.123a2p-7, 0x1.6a23cap-10}

// Tanh is p in tanh(x) ≈ x + x³·p(x²) for |x| < TanhSmall, within 1.1·10⁻⁸.
var Tanh = [...]float32{-0x1.55552ep-2, 0x1.110646p-3, -0x1.b81dc2p-5, 0x1.5157fep-6, -0x1.722b0ap-8}

// TanhSmall is where tanh(x) = 1 - 2/(e²ˣ + 1) takes over.
const TanhSmall = 0.625

// Log is p in ln(1+f) ≈ f - f²/2 + f³·p(f) for √½ ≤ 1+f < √2, within 6.5·10⁻⁹.
var Log = [...]float32{0x1.555554p-2, -0x1.000226p-2, 0x1.99a008p-3, -0x1.547244p-3,
	0x1.22da1ep-3, -0x1.0d8542p-3, 0x1.055b68p-3, -0x1.38b57cp-4}

// Bit patterns of float32.
const (
	SqrtHalf = 0x3f3504f3 // √½
	RoundBit = 0x4b400000 // Round
	Bias     = 127
	Mantissa = 23
	SignBit  = 0x80000000
	Infinity = 0x7f800000
	NaN      = 0x7fc00000
)

// MinNormal is the smallest normal float32; Log scales smaller numbers by
// 2^Mantissa first.
const (
	MinNormal = 0x1p-126
	TwoTo23   = 1 << Mantissa
)

// Normal distribution: P(X > a) = e^(-a²/2)·t·p(t) with t = 1/(1 + TailRate·a), for a ≥ 0.
const (
	TailRate   = 0.345
	TailMax    = 16                        // above, it rounds to 0
	InvRoot2Pi = 0.39894228040143267793994 // density at 0
)

// Tail is p, within 6·10⁻⁸.
var Tail = [...]float32{0x1.19d892p-3, 0x1.1aa27ep-3, 0x1.e0b6fcp-4, 0x1.c7c09ap-4,
	-0x1.28dc24p-5, 0x1.7afdcep-3, -0x1.139ceep-2, 0x1.2763dep-3, -0x1.cd3d1p-6}

// Constants of the tanh form of GELU, doubled: gelu(x) = x·σ(x·(Gelu1 + Gelu3·x²)).
const (
	Gelu1 = 2 * 0.7978845608028653558798921198687637 // 2·√(2/π)
	Gelu3 = Gelu1 * 0.044715
)
