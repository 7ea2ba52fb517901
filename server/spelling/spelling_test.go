package spelling

import (
	"bufio"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestSpellsAsPythonDoesAndReadsItBack(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/num2words.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := 0
	for scanner := bufio.NewScanner(file); scanner.Scan(); lines++ {
		number, want, _ := strings.Cut(scanner.Text(), "\t")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			checkFloat(t, number, want)
			continue
		}
		if got := Spell(n); got != want {
			t.Errorf("Spell(%d) = %q, want %q", n, got, want)
		}
		if got, err := SpellFloat(float64(n)); err != nil || got != want {
			t.Errorf("SpellFloat(%d) = %q, %v, want %q", n, got, err, want)
		}
		got, ok := Parse(want)
		if ok != (n >= 0) || ok && got != n {
			t.Errorf("Parse(%q) = %d, %v, want %d", want, got, ok, n)
		}
	}
	if lines < 3000 {
		t.Errorf("the table has %d lines, want all of Python's", lines)
	}
}

// What Python's num2words makes of numbers beyond int64 or beyond 2^53: nothing
// after the tab means that it fails.
func TestSpellsLargeNumbersAsPythonDoes(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/num2words-big.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := 0
	for scanner := bufio.NewScanner(file); scanner.Scan(); lines++ {
		number, want, _ := strings.Cut(scanner.Text(), "\t")
		var got string
		if n, ok := new(big.Int).SetString(number, 10); ok {
			got, err = SpellBig(n)
		} else {
			var v float64
			if v, err = strconv.ParseFloat(number, 64); err != nil {
				t.Fatal(err)
			}
			got, err = SpellFloat(v)
		}
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrRange) {
			t.Errorf("%s is %q, %v, want %q", number, got, err, want)
		}
	}
	if lines < 300 {
		t.Errorf("the table has %d lines, want all of Python's", lines)
	}
}

func checkFloat(t *testing.T, number, want string) {
	t.Helper()
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := SpellFloat(v); err != nil || got != want {
		t.Errorf("SpellFloat(%s) = %q, %v, want %q", number, got, err, want)
	}
	if _, ok := Parse(want); ok && v != math.Trunc(v) {
		t.Errorf("Parse(%q) takes a fraction for a whole number", want)
	}
}

// What the words for these are was asked of Python's num2words.
func TestSpellReachesTheEndsOfInt64(t *testing.T) {
	t.Parallel()
	tests := map[int64]string{
		math.MaxInt64: "nine quintillion, two hundred and twenty-three quadrillion, three hundred and seventy-two trillion, thirty-six billion, eight hundred and fifty-four million, seven hundred and seventy-five thousand, eight hundred and seven",
		math.MinInt64: "minus nine quintillion, two hundred and twenty-three quadrillion, three hundred and seventy-two trillion, thirty-six billion, eight hundred and fifty-four million, seven hundred and seventy-five thousand, eight hundred and eight",
		1e18:          "one quintillion",
		1e18 + 1e15:   "one quintillion, one quadrillion",
		1e15 + 1:      "one quadrillion and one",
	}
	for n, want := range tests {
		if got := Spell(n); got != want {
			t.Errorf("Spell(%d) = %q, want %q", n, got, want)
		}
		if got, ok := Parse(want); ok != (n > 0) || ok && got != n {
			t.Errorf("Parse(%q) = %d, %v", want, got, ok)
		}
	}
}

func TestNoSpellingIsLongerThanTheBuffer(t *testing.T) {
	t.Parallel()
	// 373 is the longest of the groups, and this the most of them.
	if got := len(Spell(-8_373_373_373_373_373_373)); got > longest {
		t.Errorf("the longest spelling has %d bytes, the buffer %d", got, longest)
	}
}

func TestParseTakesNothingThatSpellDoesNotSay(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", " ", "-", ",", "and", "hundred", "thousand", "point",
		"Two", "TWO", "two ", " two", "two\n", "two\r", "two,", "two-", "2",
		"two and", "and two", "two two", "two, two", "two-two", "zero one", "one zero",
		"one  two",
		"twenty one", "twenty-", "twenty--one", "twenty-ten", "ten-one", "one-twenty",
		"one hundred one", "one hundred, one", "one hundred and", "ten hundred", "zero hundred",
		"one hundred hundred", "one hundred and one hundred",
		"one thousand, one", "one thousand one", "one thousand and one hundred", "one thousand,one hundred",
		"one thousand, zero", "zero thousand", "one thousand thousand", "thousand and one",
		"one thousand, one million", "one million, one", "one million and one thousand",
		"one million, one thousand, one thousand",
		"thrfour", "one point five", "minus seven", "minus zero", "one\x00", "\x00",
		"ten quintillion", "nine quintillion, nine hundred and ninety-nine quadrillion",
		strings.Repeat("one quintillion, ", 20) + "one",
		strings.Repeat("one ", 1000),
	} {
		if n, ok := Parse(s); ok {
			t.Errorf("Parse(%q) = %d, want it refused", s, n)
		}
	}
}

// What the words for these are was asked of Python's num2words.
func TestSpellFloatKeepsTheOdditiesOfPython(t *testing.T) {
	t.Parallel()
	tests := map[float64]string{
		1.5:                  "one point five",
		-1.5:                 "minus one point five",
		-0.5:                 "zero point five",
		math.Copysign(0, -1): "zero",
		-866:                 "minus eight hundred and sixty-six",
		1.005:                "one point zero zero five",
		2.675:                "two point six seven five",
		1e-5:                 "zero point zero zero zero zero one",
		1e-7:                 "zero point zero zero zero zero zero zero one",
		0.00015:              "zero point zero zero zero one five",
		0.99999999999:        "zero point nine nine nine nine nine nine nine nine nine nine nine",
		0.9999999999999999:   "zero point nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine eight",
		0.30000000000000004:  "zero point three zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero four",
		1.0000000000000002:   "one point zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero two",
		123456789.123:        "one hundred and twenty-three million, four hundred and fifty-six thousand, seven hundred and eighty-nine point one two three",
		1e15 + 0.5:           "one quadrillion point five",
		1e-308:               "zero point" + strings.Repeat(" zero", 307) + " one",
	}
	for v, want := range tests {
		if got, err := SpellFloat(v); err != nil || got != want {
			t.Errorf("SpellFloat(%v) = %q, %v, want %q", v, got, err, want)
		}
	}
}

func TestSpellFloatRefusesWhatItCannotSpell(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{
		math.NaN(), math.Inf(1), math.Inf(-1), 1e306, -1e306, math.MaxFloat64,
		1e-309, 1.5e-308, math.SmallestNonzeroFloat64,
	} {
		if got, err := SpellFloat(v); !errors.Is(err, ErrRange) {
			t.Errorf("SpellFloat(%v) = %q, %v, want ErrRange", v, got, err)
		}
	}
}

func TestSpellAllocatesTheStringAlone(t *testing.T) {
	dst := make([]byte, 0, longest)
	const n = 123_456_789_012_345
	s := Spell(n)
	for _, test := range []struct {
		name string
		most float64
		run  func()
	}{
		{"Spell", 1, func() { Spell(n) }},
		{"Append", 0, func() { Append(dst, n) }},
		{"Parse", 0, func() { Parse(s) }},
	} {
		if got := testing.AllocsPerRun(100, test.run); got > test.most {
			t.Errorf("%s allocates %v times, want %v", test.name, got, test.most)
		}
	}
}

func FuzzParseIsTheInverseOfSpell(f *testing.F) {
	f.Add(int64(0), "zero")
	f.Add(int64(1001), "one thousand, one")
	f.Add(int64(math.MinInt64), "minus one")
	f.Add(int64(math.MaxInt64), "ninety-nine quintillion")
	f.Fuzz(func(t *testing.T, n int64, s string) {
		if got, ok := Parse(Spell(n)); ok != (n >= 0) || ok && got != n {
			t.Errorf("Parse(Spell(%d)) = %d, %v", n, got, ok)
		}
		if got, ok := Parse(s); ok && Spell(got) != s {
			t.Errorf("Parse(%q) = %d, which is %q", s, got, Spell(got))
		}
	})
}

func FuzzSpellFloatNeverPanics(f *testing.F) {
	f.Add(0.1)
	f.Fuzz(func(t *testing.T, v float64) {
		s, err := SpellFloat(v)
		if (err == nil) != (s != "") {
			t.Errorf("SpellFloat(%v) = %q, %v", v, s, err)
		}
	})
}

func BenchmarkSpell(b *testing.B) {
	b.ReportAllocs()
	for n := int64(1); b.Loop(); n++ {
		Spell(n)
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	dst := make([]byte, 0, longest)
	for n := int64(1); b.Loop(); n++ {
		Append(dst, n)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	lines := make([]string, 1000)
	for i := range lines {
		lines[i] = Spell(rand.Int64N(10_000_000))
	}
	for i := 0; b.Loop(); i++ {
		Parse(lines[i%len(lines)])
	}
}
