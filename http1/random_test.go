package http1

import (
	"math/rand/v2"
	"testing"
)

// TestRandomMessages puts messages together from parts, most of them right, some wrong, and checks the properties of the fuzz
// targets: those rarely find their way to a message that is accepted.
func TestRandomMessages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	for range 3000 {
		end := "\r\n"
		if rnd.IntN(30) == 0 {
			end = pick(lineEnds)
		}
		var fields, chunks string
		for range rnd.IntN(5) {
			fields += pick(fieldParts) + pick(colons) + pick(valueParts) + end
		}
		for range rnd.IntN(4) {
			chunks += pick(chunkParts)
		}
		chunks += pick(lastChunks)
		checkChunked(t, []byte(chunks))
		checkRequest(t, []byte(pick(methodParts)+" "+pick(targetParts)+" HTTP/1."+pick([]string{"0", "1", "1"})+end+"Host: "+pick(hostParts)+"\r\n"+fields+"\r\n"+chunks))
		checkResponse(t, []byte("HTTP/1."+pick([]string{"0", "1", "1"})+" "+pick(statusParts)+end+fields+"\r\n"+chunks))
	}
}

var (
	lineEnds    = []string{"\n", "\r", "\r\r\n", "\r\n ", "\r\n\r\n", "\n\r"}
	colons      = []string{":", ": ", ": ", ": ", ":\t ", " :", ""}
	methodParts = []string{"GET", "GET", "POST", "OPTIONS", "CONNECT", "HEAD", "get", "P:", ""}
	targetParts = []string{"/", "/", "/a?b=c", "//a/b", "*", "a:80", "http://b", "HTTP://b:8/x", "https://b?q", "http://u@b/", "/a#b", "/%zz", "/\x80", "?", "http://", "/a b"}
	hostParts   = []string{"a", "a", "a.b:80", "[::1]", "", "a,b", "u@a", "a\r\nHost: b"}
	statusParts = []string{"200 OK", "200 OK", "204 ", "304", "404 \x80", "100 Continue", "205 x", "999 x", "099 x", "20 x", "200OK"}
	fieldParts  = []string{
		"Content-Length", "Transfer-Encoding", "Connection", "connection", "X", "X_Y", "Upgrade", "TE", "Trailer", "Expect", "Keep-Alive", "Cookie",
		"Via", "Pragma", "Date", "X-Forwarded-For", "Accept", "", "A B", "\x80",
	}
	valueParts = []string{
		"", "3", "3 ", "03", "3, 3", "chunked", "chunked", "Chunked\t", "gzip", "close", "keep-alive", "x", "X, close", "upgrade, te", "100-continue",
		"trailers", "no-cache", "a\tb", " a ", "a\x00", "\x80", "websocket", ",", "date,accept",
	}
	chunkParts = []string{"3\r\nabc\r\n", "3\r\nabc\r\n", "A\r\n0123456789\r\n", "01;a=b\r\nx\r\n", "1 ; a\r\nx\r\n", "2;\"\x80\"\r\n\r\n\r\n", "3\r\nab\r\n", "3\nabc\n", "0x1\r\na\r\n", " 1\r\na\r\n", "1\r\na"}
	lastChunks = []string{"0\r\n\r\n", "0\r\n\r\n", "0\r\nX: y\r\n\r\n", "00\r\nContent-Length: 3\r\nETag: a\r\n\r\n", "0;a\r\nX_Y:\r\n\r\n", "0\r\n", "", "0\r\n X: y\r\n\r\n", "0\r\n\n"}
)
