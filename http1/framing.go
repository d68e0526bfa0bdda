package http1

import "math"

// readLength reads Content-Length: 1*DIGIT, once, and not beside Transfer-Encoding (RFC 9112 section 6.3, items 3 to 5).
func (h *Head) readLength(v []byte, seen Kinds) fault {
	if seen.Has(ContentLength) {
		return repeatedLength
	}
	if seen.Has(TransferEncoding) {
		return lengthAndEncoding
	}
	if len(v) == 0 {
		return badLength
	}
	var n int64
	for _, c := range v {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return badLength
		}
		n = n*10 + d
	}
	h.ContentLength = n
	return none
}

// readEncoding reads Transfer-Encoding. Anything but exactly chunked is refused: the other codings are as good as
// unused, and a list is where parsers part (RFC 9112 section 6.1).
func (h *Head) readEncoding(v []byte, seen Kinds) fault {
	switch {
	case seen.Has(TransferEncoding):
		return repeatedEncoding
	case seen.Has(ContentLength):
		return lengthAndEncoding
	case h.Minor == 0:
		return encodingInOldVersion
	case !EqualFold(v, "chunked"):
		return badEncoding
	}
	h.Chunked = true
	return none
}

// readExpect reads Expect. HTTP/1.0 does not have it: there it is ignored (RFC 9110 section 10.1.1), and ends here,
// lest it get a meaning in the HTTP/1.1 request to the server.
func (h *Head) readExpect(v []byte, f *Field) fault {
	switch {
	case h.response || len(v) == 0:
	case h.Minor == 0:
		f.Kind = Nominated
	case !EqualFold(v, "100-continue"):
		return unsupportedExpectation
	default:
		h.Expect100 = true
	}
	return none
}

// readTE looks for the one member of TE that matters to a proxy, RFC 9110 section 10.1.4. The field ends here, so what else is in it does not matter.
func (h *Head) readTE(v []byte) {
	if h.response || h.Minor == 0 {
		return
	}
	for len(v) > 0 {
		i := 0
		for i < len(v) && v[i] != ',' {
			i++
		}
		if EqualFold(trimOWS(v[:i]), "trailers") {
			h.TETrailers = true
		}
		v = v[min(i+1, len(v)):]
	}
}
