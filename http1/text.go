package http1

import (
	"encoding/binary"
	"math/bits"
)

// Eight bytes at a time: most bytes of a head are values, and all that is asked of them is to hold no
// control byte. Words do it at a quarter of a table's price, and the byte that stops the search is the
// line's CR, so that looking for the line's end costs nothing more (BenchmarkText: 128 bytes in 20 ns,
// by table 58 ns).

const (
	ones  = 0x0101010101010101
	highs = ones * 0x80
)

// What textEnd and visibleEnd add to each byte, so that the high bit tells whether it is at least SP, or above it.
const (
	fromSpace  = ones * (0x80 - ' ')
	aboveSpace = fromSpace - ones
)

// textEnd returns the index of the first byte at or after i that a field value or a reason phrase may not
// hold, that is a control byte other than HTAB (RFC 9110 section 5.5), or len(b).
func textEnd(b []byte, i int) int {
	for i+8 <= len(b) {
		m := stops(binary.LittleEndian.Uint64(b[i:i+8]), fromSpace)
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(b) && (b[i] >= ' ' && b[i] != 0x7f || b[i] == '\t') {
		i++
	}
	return i
}

// visibleEnd returns the index of the first byte at or after i that is a space or a control byte, or len(b).
func visibleEnd(b []byte, i int) int {
	for i+8 <= len(b) {
		if m := stops(binary.LittleEndian.Uint64(b[i:i+8]), aboveSpace); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] > ' ' && b[i] != 0x7f {
		i++
	}
	return i
}

// stops returns a word with the high bit set of each byte of x that is DEL or too small for the high bit to be set when
// limit is added, and no other bit. Without their own high bits bytes can be added to without a carry into the next.
func stops(x, limit uint64) uint64 {
	low := x &^ highs
	return (^(low + limit) | (low + ones)) &^ x & highs
}
