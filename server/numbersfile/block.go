package numbersfile

import (
	"bytes"

	"counting/server/spelling"
)

// Lines are grouped into blocks of numbers that share their thousands: block 0 is 1
// to 999, block 1 is 1000 to 1999. In all blocks but block 0 each line is the
// spelling of the block's first number followed by one of a thousand fixed tails, so
// building the expected text of a block is as fast as comparing it.

// tails are what follows the thousands in a line, including the newline.
var tails = func() (table [1000]string) {
	head := len(spelling.Spell(1000))
	for n := range table {
		table[n] = spelling.Spell(1000 + int64(n))[head:] + "\n"
	}
	return table
}()

// tailBytes is the total length of all tails.
var tailBytes = func() (sum int64) {
	for _, tail := range tails {
		sum += int64(len(tail))
	}
	return sum
}()

// block0Bytes is the length of block 0.
var block0Bytes = int64(len(appendBlock(nil, 0)))

// firstOf returns the first number of a block.
func firstOf(block int64) int64 { return max(1, 1000*block) }

// blockBytes returns the length of a block.
func blockBytes(block int64) int64 {
	if block == 0 {
		return block0Bytes
	}
	var buf [256]byte
	return 1000*int64(len(spelling.Append(buf[:0], 1000*block))) + tailBytes
}

// appendBlock appends the lines of a block to dst.
func appendBlock(dst []byte, block int64) []byte {
	if block == 0 {
		for n := int64(1); n < 1000; n++ {
			dst = append(spelling.Append(dst, n), '\n')
		}
		return dst
	}
	var buf [256]byte
	head := spelling.Append(buf[:0], 1000*block)
	for _, tail := range &tails {
		dst = append(append(dst, head...), tail...)
	}
	return dst
}

// countOfSize returns how many numbers an unbroken count of size bytes has, or 0 if
// no count has that size.
func countOfSize(size int64) int64 {
	block := int64(0)
	for n := blockBytes(0); size >= n; n = blockBytes(block) {
		size -= n
		block++
	}
	lines := firstOf(block) - 1
	for text := appendBlock(nil, block); size > 0; lines++ {
		line := int64(bytes.IndexByte(text, '\n') + 1)
		size -= line
		text = text[line:]
	}
	if size < 0 {
		return 0
	}
	return lines
}
