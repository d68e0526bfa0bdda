package server

import (
	"math/rand/v2"
	"strings"

	"l7/balancer"
	"l7/config"
	"l7/http1"
)

// newKey returns what the policy consistent_hash goes by. A request without it gets a random key, so that such requests are
// spread evenly.
func newKey(policy string, on config.HashOn) func(*session) uint64 {
	if policy != "consistent_hash" {
		return func(*session) uint64 { return 0 }
	}
	name := strings.ToLower(on.Name) // of a header: a cookie's case counts
	switch on.Part {
	case "path":
		return func(ss *session) uint64 { return balancer.HashKey(ss.req.Path()) }
	case "header":
		return func(ss *session) uint64 { return keyOf(ss.fieldValue(name)) }
	case "cookie":
		return func(ss *session) uint64 { return keyOf(ss.cookieValue(on.Name)) }
	}
	return func(ss *session) uint64 { return balancer.HashKey([]byte(ss.client())) }
}

func keyOf(value []byte) uint64 {
	if len(value) == 0 {
		return rand.Uint64()
	}
	return balancer.HashKey(value)
}

// fieldValue is the value of the first field of that name, which is in lower case.
func (ss *session) fieldValue(name string) []byte {
	r := &ss.req
	for i := range r.Fields {
		if f := &r.Fields[i]; http1.EqualFold(f.NameIn(r.Bytes()), name) {
			return f.ValueIn(r.Bytes())
		}
	}
	return nil
}

// client is the address of who made the request.
func (ss *session) client() string { return ss.clientIP(ss.snapshot.trusts(ss.conn.peer)) }
