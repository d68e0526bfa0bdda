package http1

// Field is one field line as offsets into the bytes it was read from, so that those may move while a head
// is being read: [Start,NameEnd) is the name, [Value,ValueEnd) the value without the whitespace around it,
// End is behind the CRLF. Lines of one head lie back to back.
type Field struct {
	Start, NameEnd, Value, ValueEnd, End uint32
	Kind                                 Kind
}

// NameIn returns the field's name; buf is what the field was read from.
func (f *Field) NameIn(buf []byte) []byte { return buf[f.Start:f.NameEnd] }

// ValueIn returns the field's value without the whitespace around it; buf is what the field was read from.
func (f *Field) ValueIn(buf []byte) []byte { return buf[f.Value:f.ValueEnd] }

// readField reads the field line that starts at b[at]. It returns the offset behind the line, or 0: with
// none when the line goes on beyond b, and otherwise with what is wrong with it, which stands only if the
// line is complete (see judge).
func readField(b []byte, at int, f *Field) (end int, flt fault) {
	i := at
	var all uint8
	for i < len(b) {
		c := class[b[i]]
		if c&isToken == 0 {
			break
		}
		all |= c
		i++
	}
	if i == len(b) {
		return 0, none
	}
	if b[i] != ':' || i == at {
		return 0, nameFault(b, at, i)
	}
	f.Start, f.NameEnd, f.Kind = uint32(at), uint32(i), kindOf(b[at:i])
	if all&isUnderscore != 0 && f.Kind == Plain {
		f.Kind = Underscored
	}
	value := i + 1
	for value < len(b) && isOWS(b[value]) {
		value++
	}
	stop := textEnd(b, value)
	if stop+1 >= len(b) || b[stop] != '\r' || b[stop+1] != '\n' {
		return 0, textFault(b, stop)
	}
	valueEnd := stop
	for valueEnd > value && isOWS(b[valueEnd-1]) {
		valueEnd--
	}
	// One by one: a literal is built elsewhere and copied in words that its parts have just been stored to,
	// for which the processor waits (a quarter of the time of BenchmarkRequestWrk).
	f.Value, f.ValueEnd, f.End = uint32(value), uint32(valueEnd), uint32(stop+2)
	return stop + 2, none
}

// nameFault tells what is wrong with a line that starts at b[at] and whose first byte outside a token is b[i].
func nameFault(b []byte, at, i int) fault {
	switch c := b[i]; {
	case i == at && isOWS(c):
		return obsFold
	case i == at:
		return badName
	case isOWS(c):
		for i < len(b) && isOWS(b[i]) {
			i++
		}
		if i < len(b) && b[i] == ':' {
			return colonSpace
		}
		return badName
	case c == '\r' || c == '\n':
		return noColon
	}
	return badName
}

// textFault tells why text that stops at b[stop] is not ended by a CRLF there.
func textFault(b []byte, stop int) fault {
	switch {
	case stop == len(b), b[stop] == '\r' && stop+1 == len(b):
		return none // more is to come
	case b[stop] == '\r':
		return bareCR
	case b[stop] == '\n':
		return bareLF
	}
	return controlByte
}

// AppendFields appends the lines of all fields but those of the dropped kinds, byte for byte as they were
// received, in as few copies as there are gaps. The fields must be consecutive ones of one head or trailer
// section, and buf what they were read from.
func AppendFields(dst, buf []byte, fields []Field, drop Kinds) []byte {
	if len(fields) == 0 {
		return dst
	}
	from := fields[0].Start
	for i := range fields {
		f := &fields[i]
		if !drop.Has(f.Kind) {
			continue
		}
		if f.Start > from {
			dst = append(dst, buf[from:f.Start]...)
		}
		from = f.End
	}
	return append(dst, buf[from:fields[len(fields)-1].End]...)
}
