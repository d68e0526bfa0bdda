package http1

// Kind classifies a field by what a proxy does with it.
type Kind uint8

// The kinds. All that no rule asks about is Plain. Underscored names are told apart because CGI-like
// servers read X_Y as X-Y. Nominated fields are those that a Connection line names: they belong to one
// hop only. Forbidden is for trailers: fields that RFC 9110 section 6.5.1 does not allow there.
const (
	Plain Kind = iota
	Underscored
	Nominated
	Forbidden

	Host
	ContentLength
	TransferEncoding
	Expect

	Connection
	KeepAlive
	ProxyConnection
	ProxyAuthenticate
	ProxyAuthorization
	TE
	Trailer
	Upgrade

	Authorization
	Cookie
	SetCookie
	Date
	Server
	StrictTransportSecurity

	XForwardedFor
	XForwardedProto
	XForwardedHost
	XForwardedPort
	XForwardedClientCert
	XForwardedOther // any other name that starts with X-Forwarded-
	XRealIP
	Forwarded
	Via
	XRequestID
)

// Kinds is a set of kinds.
type Kinds uint64

// Bit returns the set of this kind alone, to be joined with |.
func (k Kind) Bit() Kinds { return 1 << (k & 63) }

// Has reports whether the set holds the kind.
func (s Kinds) Has(k Kind) bool { return s>>(k&63)&1 != 0 }

// HopByHop are the fields that no message carries on to the next hop, RFC 9110 section 7.6.1, and the
// framing that is written anew for it. Upgrade is in it: a caller that passes an upgrade on writes its own.
const HopByHop Kinds = 1<<Connection | 1<<Nominated | 1<<Forbidden | 1<<KeepAlive | 1<<ProxyConnection |
	1<<ProxyAuthenticate | 1<<ProxyAuthorization | 1<<TE | 1<<Trailer | 1<<TransferEncoding | 1<<Upgrade

const (
	// nominable are the kinds that a Connection line can turn into Nominated. Framing, routing, identity
	// and forwarding fields are not: a client would take away what servers rely on. Hop-by-hop fields keep
	// their own kind.
	nominable Kinds = 1<<Plain | 1<<Underscored | 1<<SetCookie | 1<<Date | 1<<Server | 1<<StrictTransportSecurity
	// judged are the kinds whose value Parse reads.
	judged Kinds = 1<<Host | 1<<ContentLength | 1<<TransferEncoding | 1<<Expect | 1<<Connection | 1<<TE | 1<<Upgrade
)
