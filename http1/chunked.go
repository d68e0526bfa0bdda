package http1

import "strconv"

// Bounds of one chunked body, beside its data.
const (
	maxChunkDigits     = 16      // of one size, leading zeros included
	maxChunkExtensions = 4 << 10 // bytes, of all chunks together
	maxTrailers        = 8 << 10 // bytes, the empty line included
	maxTrailerFields   = 64
)

// Chunked decodes the chunked transfer coding, RFC 9112 section 7.1, from bytes in whatever portions they come.
// Its zero value is ready; Reset makes it ready again. Extensions are passed over. The end of the input is
// the caller's to notice: unless Done reports true then, the body is truncated.
type Chunked struct {
	left    uint64 // the size of the current chunk as far as it is read, then how many bytes of it are still to come
	state   chunkState
	digits  uint8
	fault   fault
	ext     int // bytes of extensions so far
	trailer []byte
	line    int // where the trailer line that is being read starts
	fields  []Field
}

// chunkState is what the next byte belongs to.
type chunkState uint8

const (
	chunkSize      chunkState = iota // digits
	chunkSpace                       // whitespace before an extension
	chunkExtension                   // up to the CR
	chunkSizeLF                      //
	chunkData                        //
	chunkDataCR                      //
	chunkDataLF                      //
	chunkTrailer                     // field lines, or the CR of the final CRLF
	chunkFinalLF                     //
	chunkDone                        //
	chunkFailed                      //
)

// Reset makes c ready for the next body and keeps the memory for trailers, of which most bodies have none.
func (c *Chunked) Reset() {
	*c = Chunked{trailer: c.trailer[:0], fields: c.fields[:0]}
}

// Next reads from p, which continues what the calls before have consumed. It returns the next run of the body's
// data, as part of p; how many bytes of p are now consumed, the run included; and whether the last chunk and the
// trailer section have been read to their end. Unless done, the rest of p, if any, is for the next call.
// An error is an *Error, always of Status 400 since c does not know whose body it is, and final.
func (c *Chunked) Next(p []byte) (data []byte, n int, done bool, err error) {
	if c.state != chunkData {
		n = c.frame(p)
	}
	switch c.state {
	case chunkData:
		start := n
		n += int(min(uint64(len(p)-n), c.left))
		c.Skip(n - start)
		return p[start:n], n, false, nil
	case chunkFailed:
		return nil, n, false, &requestErrors[c.fault]
	}
	return nil, n, c.state == chunkDone, nil
}

// Left returns how many bytes of the current chunk's data are still to come: that much the caller may read
// straight into a buffer of its own, or splice, and then Skip.
func (c *Chunked) Left() int64 {
	if c.state != chunkData {
		return 0
	}
	return int64(c.left)
}

// Skip tells that n bytes of data, at most Left, were consumed without Next.
func (c *Chunked) Skip(n int) {
	if uint64(n) > c.left {
		panic("BUG: more of a chunk consumed than there is")
	}
	c.left -= uint64(n)
	if c.left == 0 && c.state == chunkData {
		c.state = chunkDataCR
	}
}

// Done reports whether the body has been read to its end.
func (c *Chunked) Done() bool { return c.state == chunkDone }

// frame consumes what is between data: it stops at the first byte of data, at the end of the body, and at a fault.
func (c *Chunked) frame(p []byte) (n int) {
	for n < len(p) {
		switch c.state {
		case chunkSize:
			n += c.size(p[n:])
		case chunkSpace:
			n += c.space(p[n:])
		case chunkExtension:
			n += c.extension(p[n:])
		case chunkSizeLF:
			n += c.expect(p[n], '\n', bareCR, c.afterSize())
		case chunkDataCR:
			n += c.expect(p[n], '\r', badChunkEnd, chunkDataLF)
		case chunkDataLF:
			n += c.expect(p[n], '\n', badChunkEnd, chunkSize)
		case chunkTrailer:
			n += c.readTrailer(p[n:])
		case chunkFinalLF:
			n += c.expect(p[n], '\n', bareCR, chunkDone)
		default:
			return n
		}
	}
	return n
}

func (c *Chunked) fail(f fault) int {
	c.state, c.fault = chunkFailed, f
	return 0
}

// expect consumes the one byte that may come here.
func (c *Chunked) expect(got, want byte, f fault, then chunkState) int {
	if got != want {
		return c.fail(f)
	}
	c.state = then
	return 1
}

func (c *Chunked) afterSize() chunkState {
	c.digits = 0
	if c.left == 0 {
		return chunkTrailer
	}
	return chunkData
}

func (c *Chunked) size(p []byte) (n int) {
	for ; n < len(p); n++ {
		d := hex[p[n]]
		if d == notHex {
			return n + c.sizeEnd(p[n])
		}
		if c.digits == maxChunkDigits || c.left >= 1<<59 { // the next digit would make it 64 bits
			return c.fail(badChunkSize)
		}
		c.left = c.left<<4 | uint64(d)
		c.digits++
	}
	return n
}

// sizeEnd consumes the byte behind the digits. Whitespace must lead to an extension: padding is not in the grammar.
func (c *Chunked) sizeEnd(b byte) int {
	switch {
	case c.digits == 0:
		return c.fail(badChunkSize)
	case b == '\r':
		c.state = chunkSizeLF
	case b == ';':
		c.state = chunkExtension
	case isOWS(b):
		c.state = chunkSpace
		c.ext++
	case b == '\n':
		return c.fail(bareLF)
	default:
		return c.fail(badChunkSize)
	}
	return 1
}

func (c *Chunked) space(p []byte) (n int) {
	for n < len(p) && isOWS(p[n]) {
		n++
	}
	c.ext += n
	if c.ext > maxChunkExtensions {
		return c.fail(chunkExtensionsTooBig)
	}
	if n == len(p) {
		return n
	}
	return n + c.expect(p[n], ';', badChunkSize, chunkExtension)
}

func (c *Chunked) extension(p []byte) int {
	n := textEnd(p, 0)
	c.ext += n
	switch {
	case c.ext > maxChunkExtensions:
		return c.fail(chunkExtensionsTooBig)
	case n == len(p):
		return n
	case p[n] == '\n':
		return c.fail(bareLF)
	}
	return n + c.expect(p[n], '\r', controlByte, chunkSizeLF)
}

// AppendChunkSize appends the line that starts a chunk of n bytes. For n = 0 it is the last chunk, which a
// trailer section or an empty line must follow.
func AppendChunkSize(dst []byte, n int) []byte {
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, '\r', '\n')
}
