// Package spelling writes numbers in English words, exactly as Python's
// num2words does, and reads such words back.
//
// The words come from github.com/divan/num2words. It leaves out the comma that
// Python puts between groups of three digits and ends at 999,999,999,999, so
// it spells the groups and this package joins them.
package spelling

import (
	"strings"

	"github.com/divan/num2words"
)

// groups are the spellings of 0 to 999.
var groups = func() (table [1000]string) {
	for n := range table {
		table[n] = num2words.ConvertAnd(n)
	}
	return table
}()

// scales are the powers of a thousand that an int64 can hold, greatest first.
var scales = [...]struct {
	value uint64
	word  string
}{
	{1e18, " quintillion"},
	{1e15, " quadrillion"},
	{1e12, " trillion"},
	{1e9, " billion"},
	{1e6, " million"},
	{1e3, " thousand"},
	{1, ""},
}

// longest is more bytes than any spelling of an int64 has.
const longest = 288

// Spell returns n in words: "one thousand, two hundred and thirty-four",
// "one million and one", "minus seven". It allocates the string and nothing
// else.
func Spell(n int64) string {
	var buf [longest]byte
	return string(Append(buf[:0], n))
}

// Append appends what Spell returns to dst and returns the extended slice. It
// allocates only if dst is too short.
func Append(dst []byte, n int64) []byte {
	rest := uint64(n)
	if n < 0 {
		dst = append(dst, "minus "...)
		rest = -rest
	}
	if rest < 1000 {
		return append(dst, groups[rest]...)
	}
	joint := ""
	for _, scale := range scales {
		group := rest / scale.value
		if group == 0 {
			continue
		}
		rest %= scale.value
		if scale.value == 1 && group < 100 {
			joint = " and "
		}
		dst = append(dst, joint...)
		dst = append(dst, groups[group]...)
		dst = append(dst, scale.word...)
		joint = ", "
	}
	return dst
}

// values is what each word adds to or multiplies a number by.
var values = func() map[string]int64 {
	table := map[string]int64{"and": 0, "hundred": 100}
	for n, word := range groups[:100] {
		if !strings.Contains(word, "-") {
			table[word] = int64(n)
		}
	}
	for _, scale := range scales {
		table[strings.TrimSpace(scale.word)] = int64(scale.value)
	}
	delete(table, "")
	return table
}()

// Parse returns the n >= 0 that Spell spells as s. It accepts what Spell
// produces and nothing else: no capitals, no other blanks, no other order. It
// does not allocate.
func Parse(s string) (n int64, ok bool) {
	if len(s) > longest {
		return 0, false
	}
	// Any sum of the words will do, as it has to spell s again.
	var group int64
	for rest := s; rest != ""; {
		var word string
		word, rest = cutWord(rest)
		value, known := values[word]
		switch {
		case !known:
			return 0, false
		case value == 100:
			group *= value
		case value > 100:
			n += group * value
			group = 0
		default:
			group += value
		}
	}
	n += group
	var buf [longest]byte
	return n, n >= 0 && string(Append(buf[:0], n)) == s
}

// cutWord splits s after its first word and drops what separates it from the
// next.
func cutWord(s string) (word, rest string) {
	end := 0
	for end < len(s) && !separates(s[end]) {
		end++
	}
	next := end
	for next < len(s) && separates(s[next]) {
		next++
	}
	return s[:end], s[next:]
}

func separates(c byte) bool { return c == ' ' || c == '-' || c == ',' }
