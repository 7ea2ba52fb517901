package spelling

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrRange is the error for a number that SpellFloat cannot spell.
var ErrRange = errors.New("cannot be spelled")

const (
	// maxWhole is the last of the whole numbers that a float64 holds without
	// a gap.
	maxWhole = 1 << 53
	// maxDecimals is how far Python's num2words gets: it multiplies by ten to
	// the number of decimals, and 1e309 is no float64.
	maxDecimals = 308
)

// SpellFloat returns v in words as Python's num2words spells a float: a whole
// v as SpellBig does, any other digit by digit after "point", with as many
// decimals as the shortest text that reads as v.
//
// It keeps what is odd about the original: -0.5 is "zero point five",
// 0.9999999999999999 ends with "eight", and beyond 2^53 the groups are computed
// in floating point.
//
// The error is ErrRange, wrapped, where num2words fails too: for NaN, from
// ±10^306 on, and for more than 308 decimals.
func SpellFloat(v float64) (string, error) {
	if !(math.Abs(v) < maxFloat) {
		return "", fmt.Errorf("%v %w", v, ErrRange)
	}
	whole, fraction := math.Modf(v)
	if fraction == 0 && math.Abs(v) <= maxWhole {
		return Spell(int64(v)), nil
	}
	if fraction == 0 {
		return string(appendFloat(nil, v)), nil
	}
	digits, ok := decimals(v, math.Abs(fraction))
	if !ok {
		return "", fmt.Errorf("%v %w", v, ErrRange)
	}
	text := Append(nil, int64(whole))
	text = append(text, " point"...)
	for _, digit := range digits {
		text = append(text, ' ')
		text = append(text, groups[digit-'0']...)
	}
	return string(text), nil
}

// decimals returns the digits of v after the point, and false if there are
// too many. It is num2words' float2tuple, which computes them in floating
// point: fraction times a power of ten, rounded if that is within 0.01 of a
// whole number and else floored.
func decimals(v, fraction float64) (string, bool) {
	_, shortest, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	count := len(shortest)
	if count > maxDecimals {
		return "", false
	}
	power, err := strconv.ParseFloat("1e"+strconv.Itoa(count), 64)
	if err != nil {
		return "", false
	}
	scaled := fraction * power
	nearest := math.RoundToEven(scaled)
	if math.Abs(nearest-scaled) >= 0.01 {
		nearest = math.Floor(scaled)
	}
	digits := fmt.Sprintf("%0*.0f", count, nearest)
	return digits[:count], true
}
