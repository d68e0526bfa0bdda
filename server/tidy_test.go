package server

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTidiesOnceAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times atomic.Int32
		tidy := tidier{collect: func() { times.Add(1) }}
		parks := func(n int) {
			for range n {
				tidy.park()
			}
		}
		after := func(d time.Duration) int32 {
			time.Sleep(d) // of the bubble
			synctest.Wait()
			return times.Load()
		}
		parks(tidyCount - 1)
		require.Zero(t, after(time.Minute), "too few to be worth it")
		parks(1)
		require.Zero(t, after(tidyAfter/2))
		parks(5)
		require.Zero(t, after(tidyAfter), "the burst goes on")
		require.EqualValues(t, 1, after(tidyAfter), "the burst is over")
		parks(tidyCount)
		require.EqualValues(t, 1, after(tidyPause-time.Millisecond), "the pause")
		require.EqualValues(t, 2, after(2*tidyAfter), "what came in the pause")
	})
}

func TestTidiesInABurstThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times atomic.Int32
		tidy := tidier{collect: func() { times.Add(1) }}
		for range 30 {
			for range tidyCount {
				tidy.park()
			}
			time.Sleep(tidyAfter / 2) // of the bubble
		}
		synctest.Wait()
		require.EqualValues(t, 1, times.Load())
	})
}
