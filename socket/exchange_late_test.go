package socket

import (
	"testing"
	"time"
)

// On a machine that is too busy the read limit could pass between setting it and the first call: nothing was written, and the other side was
// blamed for its silence.
func TestExchangeWritesAlsoWhenItIsHeldUp(t *testing.T) {
	c, peer := pair(t)
	for range 100 {
		_, _, sent, err := c.Exchange([]byte("hello"), NewPool(8), time.Second, time.Nanosecond)
		timedOut(t, err)
		if !sent {
			t.Fatal("nothing was written")
		}
		expect(t, peer, "hello")
	}
}
