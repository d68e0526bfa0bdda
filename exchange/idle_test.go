package exchange

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"l7/socket"
)

func idleConn() (*serverConn, *recorder) {
	r := &recorder{}
	return &serverConn{Conn: socket.New(r), open: &openConns{}}, r
}

// The connection that was used last is taken first, so that the others grow old.
func TestIdleTakesTheLastFirst(t *testing.T) {
	var idle idleConns
	a, _ := idleConn()
	b, _ := idleConn()
	require.Nil(t, idle.take())
	require.True(t, idle.put(a, 0))
	require.True(t, idle.put(b, 0))
	require.Equal(t, 2, idle.len())
	require.Same(t, b, idle.take())
	require.True(t, idle.put(b, 0))
	require.Same(t, b, idle.take())
	require.Same(t, a, idle.take())
	require.Nil(t, idle.take())
	require.Zero(t, idle.len())
}

// RFC 9112 section 9.5: each connection is closed when it has been unused for the limit, not up to twice that.
func TestIdleClosesWhatIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle idleConns
		idle.keep(10 * time.Second)
		a, ra := idleConn()
		b, rb := idleConn()
		c, rc := idleConn()
		idle.put(a, 0)
		time.Sleep(4 * time.Second)
		idle.put(b, 0)
		idle.put(c, 0)
		time.Sleep(5 * time.Second)
		require.Same(t, c, idle.take())
		idle.put(c, 0) // used again after 9 s
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		require.Equal(t, []bool{true, false, false}, []bool{ra.isClosed(), rb.isClosed(), rc.isClosed()})
		time.Sleep(4 * time.Second)
		synctest.Wait()
		require.Equal(t, []bool{true, true, false}, []bool{ra.isClosed(), rb.isClosed(), rc.isClosed()})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.True(t, rc.isClosed())
		require.Zero(t, idle.len())
	})
}

// A reload that shortens the limit was heard only when the old limit had run out.
func TestIdleHoldsToANewLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle idleConns
		idle.keep(time.Hour)
		a, ra := idleConn()
		idle.put(a, 0)
		time.Sleep(time.Second)
		idle.keep(3 * time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		require.False(t, ra.isClosed())
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		require.True(t, ra.isClosed())

		b, rb := idleConn()
		idle.put(b, 0)
		idle.keep(0) // for ever
		time.Sleep(time.Hour)
		synctest.Wait()
		require.False(t, rb.isClosed())
		idle.keep(time.Second) // it is too old already
		synctest.Wait()
		require.True(t, rb.isClosed())
	})
}

// A server that is let go keeps nothing, now and later.
func TestIdleKeepsNothingWhenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle idleConns
		idle.keep(time.Second)
		a, ra := idleConn()
		b, _ := idleConn()
		idle.put(a, 0)
		idle.close()
		require.True(t, ra.isClosed())
		require.False(t, idle.put(b, 0))
		require.Nil(t, idle.take())
		time.Sleep(time.Minute)
	})
}
