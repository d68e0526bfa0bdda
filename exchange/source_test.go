package exchange

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/http1"
	"l7/socket"
)

// drain takes a body to its end.
func drain(s *Source) (string, error) {
	var body strings.Builder
	for {
		run, err := s.Take()
		body.Write(run)
		switch {
		case err != nil:
			return body.String(), err
		case s.Done():
			return body.String(), nil
		case len(s.Ahead()) > 0: // between two chunks
			continue
		}
		if err := s.Fill(); err != nil {
			return body.String(), err
		}
	}
}

// each calls f with the text cut into pieces in several ways, the first piece being what has come with the head.
func eachCut(text string, f func(ahead string, rest []string)) {
	f(text, nil)
	f("", strings.Split(text, ""))
	for i := range text {
		f(text[:i], []string{text[i:]})
	}
}

// RFC 9112 section 6: where a body ends, and that what follows it is left for who reads on.
func TestSourceReadsABody(t *testing.T) {
	f := func(framing http1.Framing, length int64, text, want, behind string) {
		t.Helper()
		eachCut(text+behind, func(ahead string, rest []string) {
			var s Source
			s.Start(&pieces{rest, io.EOF}, socket.NewPool(64), Incoming{Framing: framing, Length: length, Ahead: []byte(ahead)})
			got, err := drain(&s)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.EqualValues(t, len(want), s.Size())
			require.True(t, strings.HasPrefix(behind, string(s.Ahead())), "no byte is lost or made up")
			s.Release()
			require.Nil(t, s.Ahead())
			require.Nil(t, s.buf)
		})
	}
	f(http1.BodyNone, -1, "", "", "next")
	f(http1.BodyLength, 0, "", "", "next")
	f(http1.BodyLength, 5, "hello", "hello", "")
	f(http1.BodyLength, 5, "hello", "hello", "next")
	f(http1.BodyChunked, -1, "5\r\nhello\r\n0\r\n\r\n", "hello", "")
	f(http1.BodyChunked, -1, "2;x\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n", "hello", "next")
	f(http1.BodyChunked, -1, "0\r\n\r\n", "", "5\r\n")
	f(http1.BodyClose, -1, "hello", "hello", "")
}

// RFC 9112 section 8: a body that ends too early is cut. Only the end of the connection may end one without a length, and a reset is none.
func TestSourceNoticesACut(t *testing.T) {
	f := func(framing http1.Framing, text string, end, want error) {
		t.Helper()
		eachCut(text, func(ahead string, rest []string) {
			var s Source
			s.Start(&pieces{rest, end}, socket.NewPool(64), Incoming{Framing: framing, Length: 9, Ahead: []byte(ahead)})
			_, err := drain(&s)
			require.ErrorIs(t, err, want)
			require.False(t, s.Done())
		})
	}
	f(http1.BodyLength, "hello", io.EOF, io.ErrUnexpectedEOF)
	f(http1.BodyLength, "hello", syscall.ECONNRESET, syscall.ECONNRESET)
	f(http1.BodyChunked, "5\r\nhello\r\n", io.EOF, io.ErrUnexpectedEOF)
	f(http1.BodyChunked, "5\r\nhello\r\n0\r\n", io.EOF, io.ErrUnexpectedEOF)
	f(http1.BodyChunked, "5\r\nhello\r\n0\r\n", errTimeout, errTimeout)
	f(http1.BodyClose, "hello", syscall.ECONNRESET, syscall.ECONNRESET)
	f(http1.BodyClose, "hello", errTimeout, errTimeout)
}

// RFC 9110 section 15.5.14: the limit is for the body without its framing, and is inclusive.
func TestSourceHoldsToItsLimit(t *testing.T) {
	f := func(limit int64, want error) {
		t.Helper()
		for framing, text := range map[http1.Framing]string{http1.BodyLength: "hello", http1.BodyChunked: "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", http1.BodyClose: "hello"} {
			eachCut(text, func(ahead string, rest []string) {
				var s Source
				s.Start(&pieces{rest, io.EOF}, socket.NewPool(64), Incoming{Framing: framing, Length: 5, Ahead: []byte(ahead), Limit: limit})
				_, err := drain(&s)
				require.ErrorIs(t, err, want)
			})
		}
	}
	f(0, nil)
	f(5, nil)
	f(6, nil)
	f(4, ErrTooLarge)
	f(1, ErrTooLarge)
}

// A fault in the framing is the sender's, and stays one (RFC 9112 section 7.1).
func TestSourceRefusesBadChunks(t *testing.T) {
	eachCut("5\r\nhelloX", func(ahead string, rest []string) {
		var s Source
		s.Start(&pieces{rest, io.EOF}, socket.NewPool(64), Incoming{Framing: http1.BodyChunked, Ahead: []byte(ahead)})
		_, err := drain(&s)
		require.ErrorAs(t, err, new(*http1.Error))
		_, err = s.Take()
		require.ErrorAs(t, err, new(*http1.Error))
	})
}

// What has come behind a body can be kept without a copy: the buffer changes hands.
func TestSourceGivesItsBufferAway(t *testing.T) {
	var s Source
	s.Start(&pieces{[]string{"ab", "cde", "never"}, errors.New("not asked for")}, socket.NewPool(64), Incoming{Framing: http1.BodyLength, Length: 4})
	got, err := drain(&s)
	require.NoError(t, err)
	require.Equal(t, "abcd", got)
	behind := s.Ahead()
	b := s.Adopt()
	require.NotNil(t, b)
	require.Nil(t, s.Adopt())
	s.Release()
	require.Equal(t, "e", string(behind))
	require.Equal(t, "cde", string(b.Bytes()[:3]))

	s.Start(nil, nil, Incoming{Ahead: []byte("x")})
	require.Nil(t, s.Adopt(), "that memory is the caller's already")
}
