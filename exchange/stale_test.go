package exchange

import (
	"bufio"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/http1"
)

// TestUnsentIsTrueOfTheWholeAttempt has a server take a request on a kept connection and go down: the request cannot be sent once
// more, and must not be called unsent because of that. A bug had the second failure hide what the first had seen.
func TestUnsentIsTrueOfTheWholeAttempt(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var addr config.Address
	require.NoError(t, addr.UnmarshalText([]byte(ln.Addr().String())))
	s := NewServer(addr, Transport{}, NewPools(), time.Minute)
	defer s.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		r := bufio.NewReader(c)
		_ = readN(c, len(getHead))
		_, _ = c.Write([]byte(okHead + "ok"))
		_, _ = r.Peek(len(getHead))
		_ = ln.Close()
	}()
	x, client := New(), newClient(t)
	require.NoError(t, s.Do(request(x, client, getHead, Incoming{Framing: http1.BodyNone})))
	require.NoError(t, x.Relay([]byte("HTTP/1.1 200 OK\r\n\r\n"), false, 0))
	x.Finish()
	require.Equal(t, 1, s.Idle())

	err = s.Do(request(x, client, getHead, Incoming{Framing: http1.BodyNone}))
	var failure *cause.Error
	require.True(t, errors.As(err, &failure))
	require.Equal(t, cause.ConnectRefused, failure.Cause)
	require.False(t, failure.Unsent)
	require.Zero(t, s.PendingRequests())
	<-done

	fresh := request(x, client, getHead, Incoming{Framing: http1.BodyNone})
	require.ErrorAs(t, s.Do(fresh), &failure)
	require.True(t, failure.Unsent)
}
