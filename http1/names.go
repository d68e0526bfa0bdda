package http1

import "encoding/binary"

// A name is recognised by one look into a table of 64 slots, chosen by its length, its first byte and its last but
// one, and a comparison of whole words: the same few instructions for any name, known or not (BenchmarkKindOf: 4 ns
// per name of a browser's request; comparing by bytes makes BenchmarkResponse a tenth dearer).

const (
	slotLen   = 2
	slotFirst = 63
	slotLast  = 13
)

type knownName struct {
	name string
	kind Kind
}

var names = [...]knownName{
	{"te", TE},
	{"via", Via},
	{"date", Date},
	{"host", Host},
	{"cookie", Cookie},
	{"expect", Expect},
	{"server", Server},
	{"trailer", Trailer},
	{"upgrade", Upgrade},
	{"forwarded", Forwarded},
	{"x-real-ip", XRealIP},
	{"connection", Connection},
	{"keep-alive", KeepAlive},
	{"set-cookie", SetCookie},
	{"x-request-id", XRequestID},
	{"authorization", Authorization},
	{"content-length", ContentLength},
	{"x-forwarded-for", XForwardedFor},
	{"proxy-connection", ProxyConnection},
	{"x-forwarded-host", XForwardedHost},
	{"x-forwarded-port", XForwardedPort},
	{"transfer-encoding", TransferEncoding},
	{"x-forwarded-proto", XForwardedProto},
	{"proxy-authenticate", ProxyAuthenticate},
	{"proxy-authorization", ProxyAuthorization},
	{"x-forwarded-client-cert", XForwardedClientCert},
	{"strict-transport-security", StrictTransportSecurity},
}

// knownSlot is a known name with its first and last bytes as words, or as half words when it is shorter than a word.
type knownSlot struct {
	knownName
	first, last uint64
}

var slots = makeSlots()

func makeSlots() (t [64]knownSlot) {
	for _, n := range names {
		s := &t[slot([]byte(n.name))]
		if s.name != "" {
			panic("BUG: the names " + s.name + " and " + n.name + " share a slot")
		}
		first, last := ends([]byte(n.name))
		*s = knownSlot{n, first, last}
	}
	return t
}

// slot hashes a name of at least two bytes, without regard to case. The factors were found by trial: no two names share a slot.
func slot(name []byte) uint {
	n := len(name)
	return (uint(n)*slotLen + uint(name[0]|0x20)*slotFirst + uint(name[n-2]|0x20)*slotLast) & 63
}

// ends returns the first and the last eight bytes of a name, or four, or two, which may overlap, with bit 0x20 of each
// byte set: that makes letters lower case, and no other tchar a letter or a hyphen.
func ends(name []byte) (first, last uint64) {
	const fold = ones * 0x20
	switch n := len(name); {
	case n >= 8:
		return binary.LittleEndian.Uint64(name) | fold, binary.LittleEndian.Uint64(name[n-8:]) | fold
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(name)) | fold, uint64(binary.LittleEndian.Uint32(name[n-4:])) | fold
	default:
		return uint64(binary.LittleEndian.Uint16(name)) | fold, uint64(binary.LittleEndian.Uint16(name[n-2:])) | fold
	}
}

// kindOf returns the kind of a field name, which must be a token.
func kindOf(name []byte) Kind {
	n := len(name)
	if n < 2 {
		return Plain
	}
	if s := &slots[slot(name)]; len(s.name) == n {
		first, last := ends(name)
		if first == s.first && last == s.last && (n <= 16 || EqualFold(name[8:n-8], s.name[8:n-8])) {
			return s.kind
		}
	}
	if n > len(forwardedPrefix) && hasPrefixFold(name, forwardedPrefix) {
		return XForwardedOther
	}
	return Plain
}

const forwardedPrefix = "x-forwarded-"
