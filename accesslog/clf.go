package accesslog

// appendCLF appends the line without its end, as Apache does for LogFormat "%h - %u %t \"%r\" %>s %b \"%{Referer}i\"
// \"%{User-Agent}i\"". Its other fields have no place here.
func appendCLF(dst []byte, n *line) []byte {
	dst = appendWord(dst, n.Client)
	dst = append(dst, " - "...) // who the client says it is by RFC 1413: nobody asks
	dst = appendWord(dst, n.User)
	dst = append(dst, " ["...)
	dst = append(dst, n.clock.clf...)
	dst = append(dst, `] "`...)
	dst = appendRequest(dst, n)
	dst = append(dst, `" `...)
	dst = appendCount(dst, int64(n.Status))
	dst = append(dst, ' ')
	dst = appendCount(dst, n.BytesOut)
	dst = append(dst, ` "`...)
	dst = appendQuoted(dst, n.referer)
	dst = append(dst, `" "`...)
	dst = appendQuoted(dst, n.UserAgent)
	return append(dst, '"')
}

// appendRequest appends the request line as far as there is one. Method and target are words of it: a space within would
// end them.
func appendRequest(dst []byte, n *line) []byte {
	if len(n.Method) == 0 && len(n.target) == 0 {
		return append(dst, '-')
	}
	dst = appendWord(dst, n.Method)
	dst = append(dst, ' ')
	dst = appendWord(dst, n.target)
	if n.Proto != "" {
		dst = append(dst, ' ')
		dst = appendWord(dst, n.Proto)
	}
	return dst
}

// appendCount writes nothing as "-", which is what %b says of a response without a body.
func appendCount(dst []byte, n int64) []byte {
	if n <= 0 {
		return append(dst, '-')
	}
	return appendInt(dst, n)
}

func appendQuoted(dst, value []byte) []byte {
	if len(value) == 0 {
		return append(dst, '-')
	}
	for _, c := range value {
		dst = appendByte(dst, c)
	}
	return dst
}

// appendWord escapes spaces too, since they end a field that has no quotes. Apache leaves them, and so believes a user
// called "bob [01/Jan/2026:00:00:00 +0000]".
func appendWord[T string | []byte](dst []byte, value T) []byte {
	if len(value) == 0 {
		return append(dst, '-')
	}
	for i := range len(value) {
		if value[i] == ' ' {
			dst = append(dst, `\x20`...)
			continue
		}
		dst = appendByte(dst, value[i])
	}
	return dst
}

// appendByte escapes as Apache's ap_escape_logitem does in the C locale.
func appendByte(dst []byte, c byte) []byte {
	switch {
	case isPlain(c):
		return append(dst, c)
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case '\b' <= c && c <= '\r' && c != '\f':
		return append(dst, '\\', "btnv.r"[c-'\b'])
	}
	return append(dst, '\\', 'x', hex[c>>4], hex[c&15])
}
