package protocol

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxExact is the largest number up to which float64 represents all whole numbers.
const maxExact = 1 << 53

// maxWhole is the longest text of a whole number, including the sign, that
// python-engineio accepts.
const maxWhole = 100

// A Value is a number as Python's json module reads it: a whole number of any size, or a
// float64. The zero Value is the whole number 0. Values are immutable.
type Value struct {
	whole   int64
	big     *big.Int // a whole number outside of int64, or nil
	float   float64
	isFloat bool
}

// Int returns the Value of a whole number.
func Int(n int64) Value { return Value{whole: n} }

// Float returns the Value of a float64, which may be a whole number, infinite
// or not a number.
func Float(f float64) Value { return Value{float: f, isFloat: true} }

// ParseValue parses a JSON number, or true or false, which are 1 and 0 in Python. A
// number with a point or an exponent is a float; one outside of float64 is infinite.
func ParseValue(raw string) (Value, error) {
	switch {
	case raw == "true":
		return Int(1), nil
	case raw == "false":
		return Int(0), nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err == nil {
		return Int(n), nil
	}
	if strings.ContainsAny(raw, ".eE") {
		f, err := strconv.ParseFloat(raw, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return Value{}, errors.New("is not a number")
		}
		return Float(f), nil
	}
	if !errors.Is(err, strconv.ErrRange) {
		return Value{}, errors.New("is not a number")
	}
	if len(raw) > maxWhole {
		return Value{}, fmt.Errorf("is longer than %d characters", maxWhole)
	}
	whole, _ := new(big.Int).SetString(raw, 10)
	return Value{big: whole}, nil
}

// Int64 returns v as a whole number, also if it is a float. It returns false for a
// fraction, and beyond ±2^53, where floats no longer represent all whole numbers.
func (v Value) Int64() (n int64, ok bool) {
	if v.isFloat {
		if v.float != math.Trunc(v.float) || math.Abs(v.float) > maxExact {
			return 0, false
		}
		return int64(v.float), true
	}
	return v.whole, v.big == nil && -maxExact <= v.whole && v.whole <= maxExact
}

// Big returns v as a whole number, or nil if v is a float.
func (v Value) Big() *big.Int {
	switch {
	case v.isFloat:
		return nil
	case v.big != nil:
		return new(big.Int).Set(v.big)
	}
	return big.NewInt(v.whole)
}

// Float64 returns the float64 nearest to v.
func (v Value) Float64() float64 {
	switch {
	case v.isFloat:
		return v.float
	case v.big != nil:
		f, _ := new(big.Float).SetInt(v.big).Float64()
		return f
	}
	return float64(v.whole)
}

// Next returns v+2, which is the number after v of the same seat.
func (v Value) Next() Value {
	switch {
	case v.isFloat:
		return Float(v.float + 2)
	case v.big == nil && v.whole <= math.MaxInt64-2:
		return Int(v.whole + 2)
	}
	n := v.Big()
	n.Add(n, big.NewInt(2))
	if n.IsInt64() {
		return Int(n.Int64())
	}
	return Value{big: n}
}

// String returns v as Python prints it.
func (v Value) String() string {
	switch {
	case v.isFloat:
		return pythonFloat(v.float)
	case v.big != nil:
		return v.big.String()
	}
	return strconv.FormatInt(v.whole, 10)
}

// pythonFloat returns what Python's repr returns.
func pythonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	text := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(text, "e")
	if e, _ := strconv.Atoi(exponent); e < -4 || e >= 16 {
		return text
	}
	text = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// MarshalJSON returns v as Python's json module writes it, if that is JSON. An
// infinite number is 1e999, which Python and JavaScript read as infinite.
func (v Value) MarshalJSON() ([]byte, error) {
	switch {
	case v.isFloat && math.IsInf(v.float, 1):
		return []byte("1e999"), nil
	case v.isFloat && math.IsInf(v.float, -1):
		return []byte("-1e999"), nil
	case v.isFloat && math.IsNaN(v.float):
		return []byte("null"), nil
	}
	return []byte(v.String()), nil
}

// UnmarshalJSON reads a JSON number.
func (v *Value) UnmarshalJSON(text []byte) (err error) {
	if *v, err = ParseValue(string(text)); err != nil {
		return fmt.Errorf("%s %w", shorten(string(text)), err)
	}
	return nil
}
