package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is written through a lean connection arrives whole and in order, also when the other side begins to take it late.
func TestLeanWritesWhole(t *testing.T) {
	c, far := pair(t)
	sent := make([]byte, 16<<20)
	for i := range sent {
		sent[i] = byte(i * 31)
	}
	wrote := make(chan error, 1)
	go func() {
		n, err := c.Lean().Write(sent)
		if err == nil && n < len(sent) {
			err = io.ErrShortWrite
		}
		wrote <- errors.Join(err, c.CloseWrite())
	}()
	require.NoError(t, far.SetReadDeadline(time.Now().Add(10*time.Second)))
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.NoError(t, <-wrote)
	require.True(t, bytes.Equal(sent, got))
}

// Reads keep to the deadlines as the net package does, go on after them, and see the end and a reset as such.
func TestLeanReads(t *testing.T) {
	c, far := pair(t)
	l := c.Lean()
	require.NoError(t, l.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := l.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	require.NoError(t, l.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = far.Write([]byte("x"))
	require.NoError(t, err)
	n, err := l.Read(make([]byte, 10))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = l.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, far.CloseWrite())
	_, err = l.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)

	c, far = pair(t)
	l = c.Lean()
	require.NoError(t, far.SetLinger(0))
	require.NoError(t, far.Close())
	require.NoError(t, l.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = l.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, l.Close())
	_, err = l.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
}

// A write that nobody takes ends at its deadline.
func TestLeanWriteDeadline(t *testing.T) {
	c, _ := pair(t)
	l := c.Lean()
	require.NoError(t, l.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := l.Write(make([]byte, 64<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}
