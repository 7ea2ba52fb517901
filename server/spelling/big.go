package spelling

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// illions are the powers of a thousand from a million to a centillion, the
// greatest that Python's num2words knows: illions[i] is 10^(6+3i).
var illions = func() []string {
	units := []string{"", "un", "duo", "tre", "quattuor", "quin", "sex", "sept", "octo", "novem"}
	tens := []string{"dec", "vigint", "trigint", "quadragint", "quinquagint", "sexagint", "septuagint", "octogint", "nonagint"}
	stems := []string{"m", "b", "tr", "quadr", "quint", "sext", "sept", "oct", "non"}
	for _, ten := range tens {
		for _, unit := range units {
			stems = append(stems, unit+ten)
		}
	}
	stems = append(stems, "cent")
	words := make([]string, len(stems))
	for i, stem := range stems {
		words[i] = " " + stem + "illion"
	}
	return words
}()

// limit is the first whole number that num2words does not spell.
var limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(306), nil)

// maxFloat is the first whole float64 that num2words does not spell. It is a
// little above 10^306.
const maxFloat = 1e306

// SpellBig returns n in words. The error is ErrRange, wrapped, from ±10^306 on,
// where num2words fails too.
func SpellBig(n *big.Int) (string, error) {
	if n.IsInt64() {
		return Spell(n.Int64()), nil
	}
	if n.CmpAbs(limit) >= 0 {
		return "", fmt.Errorf("a number of %d bits %w", n.BitLen(), ErrRange)
	}
	var b []byte
	digits := new(big.Int).Abs(n).String()
	if n.Sign() < 0 {
		b = append(b, "minus "...)
	}
	digits = strings.Repeat("0", 2-(len(digits)+2)%3) + digits
	first := true
	for scale := len(digits)/3 - 1; scale >= 0; scale-- {
		group, _ := strconv.ParseInt(digits[:3], 10, 64)
		digits = digits[3:]
		if group > 0 {
			b = appendGroup(b, first, group, scale)
			first = false
		}
	}
	return string(b), nil
}

// appendFloat appends a whole number beyond ±2^53. Its groups are what Python's
// divmod of a float and a power of a thousand gives: the remainder is that of
// the nearest float to the power, and the quotient is rounded.
func appendFloat(dst []byte, v float64) []byte {
	if v < 0 {
		dst, v = append(dst, "minus "...), -v
	}
	first := true
	for scale := len(powers) - 1; v > 0; scale-- {
		power := powers[scale]
		if v < power.least {
			continue
		}
		rest := math.Mod(v, power.value)
		quotient := (v - rest) / power.value
		group := math.Floor(quotient)
		if quotient-group > 0.5 {
			group++
		}
		dst = appendGroup(dst, first, int64(group), scale)
		first, v = false, rest
	}
	return dst
}

// appendGroup appends one group of digits, which is not 0, and the name of its
// thousands: scale 0 has none, 1 is a thousand, 2 a million. first says that no
// group precedes it.
func appendGroup(dst []byte, first bool, group int64, scale int) []byte {
	switch {
	case first:
	case scale == 0 && group < 100:
		dst = append(dst, " and "...)
	default:
		dst = append(dst, ", "...)
	}
	dst = Append(dst, group)
	switch scale {
	case 0:
		return dst
	case 1:
		return append(dst, " thousand"...)
	}
	return append(dst, illions[scale-2]...)
}

// powers are the powers of a thousand as floats, and the least float64 that is
// not below the exact power.
var powers = func() (table [102]struct{ value, least float64 }) {
	exact, thousand := big.NewInt(1), big.NewInt(1000)
	for i := range table {
		value, _ := new(big.Float).SetInt(exact).Float64()
		table[i].value, table[i].least = value, value
		if new(big.Float).SetFloat64(value).Cmp(new(big.Float).SetInt(exact)) < 0 {
			table[i].least = math.Nextafter(value, math.Inf(1))
		}
		exact.Mul(exact, thousand)
	}
	return table
}()
