package server

import (
	"net/http"
	"strconv"
	"strings"

	"l7/cause"
)

const proofPath = "/.well-known/acme-challenge/"

// proof is the answer to an authority that asks whether a host is ours (ACME, RFC 8555 section 8.3), and empty for every other request. It is
// for everybody, before allow, deny, redirects and logins: the authority is a client like any other. A path that nobody has told us of goes
// on to a backend, which may ask for certificates itself.
func (ss *session) proof(host []byte) string {
	if ss.snapshot.http01 == nil {
		return ""
	}
	return ss.findProof(host)
}

func (ss *session) findProof(host []byte) string {
	path := ss.req.Path()
	if ss.conn.secure || string(ss.req.Method()) != http.MethodGet || !strings.HasPrefix(string(path), proofPath) {
		return ""
	}
	if answer, ok := ss.snapshot.http01(string(host), string(path)); ok {
		return answer
	}
	return ""
}

// prove answers the authority. It is false when the connection is of no further use.
func (ss *session) prove(proof string) bool {
	ss.answered = true
	ss.record.status, ss.record.out = http.StatusOK, int64(len(proof))
	keep := ss.mayStay(cause.None)
	ss.head = append(ss.head[:0], "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"...)
	ss.head = appendConnection(ss.head, ss.req.Minor, keep)
	ss.head = append(ss.head, "Content-Length: "+strconv.Itoa(len(proof))+"\r\n\r\n"+proof...)
	err := ss.conn.sock.Write(ss.head, ss.snapshot.timeouts.Write)
	return err == nil && keep
}
