package exchange

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/http1"
	"l7/socket"
)

// pumped passes a body that comes in pieces on, and returns what was written, each write apart.
func pumped(p pump, head string, in Incoming, rest ...string) ([]string, *pump) {
	out := &recorder{}
	var s Source
	s.Start(&pieces{rest, io.EOF}, socket.NewPool(bodySize), in)
	p.src, p.dst, p.pool = &s, socket.New(out), socket.NewPool(bodySize)
	_ = p.run([]byte(head))
	s.Release()
	return out.writes, &p
}

// One write for each arrival, as soon as it is there, and one chunk in it (RFC 9112 section 7.1). The head goes with the first.
func TestPumpWritesOncePerArrival(t *testing.T) {
	f := func(p pump, in Incoming, ahead string, rest []string, want ...string) {
		t.Helper()
		in.Ahead = []byte(ahead)
		got, _ := pumped(p, "HEAD\r\n\r\n", in, rest...)
		require.Equal(t, want, got)
	}
	length := Incoming{Framing: http1.BodyLength, Length: 6}
	chunks := Incoming{Framing: http1.BodyChunked}
	toEnd := Incoming{Framing: http1.BodyClose}
	f(pump{}, length, "", []string{"ab", "cd", "efNEXT"}, "HEAD\r\n\r\n", "ab", "cd", "ef")
	f(pump{}, length, "abcdefNEXT", nil, "HEAD\r\n\r\nabcdef")
	f(pump{}, toEnd, "a", []string{"bc", "d"}, "HEAD\r\n\r\na", "bc", "d")
	f(pump{chunked: true}, toEnd, "a", []string{"bc", "d"}, "HEAD\r\n\r\n1\r\na\r\n", "2\r\nbc\r\n", "1\r\nd\r\n", "0\r\n\r\n")
	f(pump{chunked: true}, chunks, "", []string{"2\r\nab\r\n", "1\r\nc\r\n1\r\nd\r\n", "0\r\n\r\n"}, "HEAD\r\n\r\n", "2\r\nab\r\n", "2\r\ncd\r\n", "0\r\n\r\n")
	f(pump{chunked: true}, chunks, "2\r\nab\r\n0\r\n\r\n", nil, "HEAD\r\n\r\n2\r\nab\r\n0\r\n\r\n")
	f(pump{chunked: true}, chunks, "9\r\nab", []string{"cd", "efghi\r\n0", "\r\n\r\n"}, "HEAD\r\n\r\n2\r\nab\r\n", "2\r\ncd\r\n", "5\r\nefghi\r\n", "0\r\n\r\n")
	f(pump{chunked: true}, chunks, "1\r", []string{"\na", "\r", "\n0\r\n\r\n"}, "HEAD\r\n\r\n", "1\r\na\r\n", "0\r\n\r\n")
	f(pump{}, chunks, "1\r\na\r\n", []string{"2\r\nbc\r\n1\r\nd\r\n", "0\r\nX: y\r\n\r\n"}, "HEAD\r\n\r\na", "bcd")
}

// RFC 9110 section 6.5: trailers go on if they are wanted, and never those that may be none.
func TestPumpPassesTrailersOn(t *testing.T) {
	f := func(kinds http1.Kinds, want string) {
		t.Helper()
		got, _ := pumped(pump{chunked: true, trailers: kinds}, "", Incoming{Framing: http1.BodyChunked}, "0\r\nX: 1\r\nContent-Length: 5\r\nA_b: 2\r\n\r\n")
		require.Equal(t, []string{want}, got)
	}
	f(0, "0\r\n\r\n")
	f(http1.Plain.Bit(), "0\r\nX: 1\r\n\r\n")
	f(http1.Plain.Bit()|http1.Underscored.Bit(), "0\r\nX: 1\r\nA_b: 2\r\n\r\n")
}

// The side that failed is told apart; and a body that was cut goes on without an end (RFC 9112 section 8).
func TestPumpTellsWhichSideFailed(t *testing.T) {
	got, p := pumped(pump{chunked: true}, "", Incoming{Framing: http1.BodyChunked}, "1\r\na\r\n")
	require.Equal(t, []string{"1\r\na\r\n"}, got)
	require.ErrorIs(t, p.readErr, io.ErrUnexpectedEOF)
	require.NoError(t, p.writeErr)

	broken := errors.New("broken")
	out := &recorder{fail: broken}
	var s Source
	s.Start(&pieces{[]string{"ab"}, io.EOF}, socket.NewPool(64), Incoming{Framing: http1.BodyLength, Length: 2})
	w := pump{src: &s, dst: socket.New(out), pool: socket.NewPool(64)}
	require.ErrorIs(t, w.run(nil), broken)
	require.ErrorIs(t, w.writeErr, broken)
	require.NoError(t, w.readErr)
}

// Whatever the sizes of head, buffers and chunks, the bytes are the same.
func TestPumpOfAllSizes(t *testing.T) {
	for _, head := range []int{0, 1, socket.Headroom - 19, socket.Headroom - 18, socket.Headroom - 17, socket.Headroom, socket.Headroom + 1, 40_000} {
		for _, body := range []int{1, 15, 16, 17, 4095, 4096, bodySize - 20, bodySize - 1, bodySize} {
			h, b := strings.Repeat("h", head), strings.Repeat("b", body)
			got, p := pumped(pump{chunked: true}, h, Incoming{Framing: http1.BodyClose}, b, b)
			require.Equal(t, h+strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", body, b), 2)+"0\r\n\r\n", strings.Join(got, ""), "%d %d", head, body)
			require.EqualValues(t, 2*body, p.written)
			got, _ = pumped(pump{}, h, Incoming{Framing: http1.BodyClose, Ahead: []byte(b)}, b)
			require.Equal(t, h+b+b, strings.Join(got, ""))
		}
	}
}

// A full buffer and what ends its chunk have room in one: in steady state nothing is allocated, whatever the stream.
func TestPumpAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	in := &endless{}
	out := socket.New(&discard{})
	pool := socket.NewPool(bodySize)
	for _, p := range []pump{{chunked: true}, {}} {
		allocs := testing.AllocsPerRun(20, func() {
			var s Source
			in.left = 10
			s.Start(in, pool, Incoming{Framing: http1.BodyClose})
			p.src, p.dst, p.pool = &s, out, pool
			if err := p.run(nil); err != nil {
				t.Error(err)
			}
		})
		require.Less(t, allocs, 3.0, "the Source and its boxes")
	}
}

// endless fills buffer after buffer.
type endless struct{ left int }

func (e *endless) Receive(pool *socket.Pool, _ time.Duration) (*socket.Buffer, int, error) {
	if e.left--; e.left < 0 {
		return nil, 0, io.EOF
	}
	b := pool.Get()
	return b, len(b.Bytes()), nil
}

type discard struct{ recorder }

func (*discard) Write(p []byte) (int, error) { return len(p), nil }

// AppendReceived takes what is there, up to a bound, and leaves the rest.
func TestAppendReceived(t *testing.T) {
	f := func(in Incoming, chunked bool, most int, want string, done bool) {
		t.Helper()
		var s Source
		s.Start(nil, nil, in)
		got, err := AppendReceived([]byte("H"), &s, chunked, http1.Plain.Bit(), most)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.Equal(t, done, s.Done())
	}
	f(Incoming{Ahead: []byte("next")}, false, 100, "H", true)
	f(Incoming{Framing: http1.BodyLength, Length: 4, Ahead: []byte("abcdef")}, false, 100, "Habcd", true)
	f(Incoming{Framing: http1.BodyLength, Length: 9, Ahead: []byte("abcdef")}, false, 100, "Habcdef", false)
	f(Incoming{Framing: http1.BodyLength, Length: 9}, false, 100, "H", false)
	f(Incoming{Framing: http1.BodyChunked, Ahead: []byte("1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\nnext")}, true, 100, "H1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n", true)
	f(Incoming{Framing: http1.BodyChunked, Ahead: []byte("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")}, true, 3, "H1\r\na\r\n", false)
	f(Incoming{Framing: http1.BodyChunked, Ahead: []byte("1\r\na\r\n5\r\nb")}, true, 100, "H1\r\na\r\n1\r\nb\r\n", false)
}
