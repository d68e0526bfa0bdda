package http1

// maxNominations bounds the fields that the Connection lines of one head name, close and the like not
// counted: at the end each of them is compared with each field. Honest heads have one or two. The dearest head
// within the limits costs 11 ns a byte (BenchmarkRequestNominations), far less than small requests do.
const maxNominations = 16

// readConnection reads the options of one Connection line, RFC 9110 section 7.6.1. The two values that nearly
// all lines have are settled first.
func (h *Head) readConnection(buf []byte, f *Field) fault {
	v := f.ValueIn(buf)
	if EqualFold(v, "keep-alive") {
		h.KeepAlive = true
		return none
	}
	if EqualFold(v, "close") {
		h.Close = true
		return none
	}
	for i, end := int(f.Value), int(f.ValueEnd); i < end; {
		if buf[i] == ',' || isOWS(buf[i]) { // empty members are allowed: RFC 9110 section 5.6.1.2
			i++
			continue
		}
		start := i
		i = tokenEnd(buf[:end], i)
		if flt := h.option(buf, span{uint32(start), uint32(i)}); flt != none {
			return flt
		}
		for i < end && isOWS(buf[i]) {
			i++
		}
		if i < end && buf[i] != ',' {
			return badConnection
		}
	}
	return none
}

// option takes in one Connection option. Those that name a field for which removal is not the sender's to ask are passed over.
func (h *Head) option(buf []byte, s span) fault {
	name := s.in(buf)
	switch kind := kindOf(name); {
	case len(name) == 0:
		return badConnection
	case EqualFold(name, "close"):
		h.Close = true
	case EqualFold(name, "keep-alive"):
		h.KeepAlive = true
	case kind == Upgrade:
		h.upgradable = true
	case !nominable.Has(kind):
	case h.nominated == maxNominations:
		return tooManyNominations
	default:
		h.nominees[h.nominated] = s
		h.nominated++
	}
	return none
}

// nominate marks the fields that the Connection lines, before or behind them, have named.
func (h *Head) nominate() {
	for i := range h.Fields {
		f := &h.Fields[i]
		if nominable.Has(f.Kind) && h.nominates(f.NameIn(h.buf)) {
			f.Kind = Nominated
			h.seen |= Nominated.Bit()
		}
	}
}

func (h *Head) nominates(name []byte) bool {
	for _, s := range h.nominees[:h.nominated] {
		if sameFold(s.in(h.buf), name) {
			return true
		}
	}
	return false
}
