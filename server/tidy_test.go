package server

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTidiesOnceAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 0
		tidy := tidier{collect: func() { times++ }}
		parks := func(n int) {
			for range n {
				tidy.park()
			}
		}
		after := func(d time.Duration) int {
			time.Sleep(d) // of the bubble
			synctest.Wait()
			return times
		}
		parks(tidyCount - 1)
		require.Zero(t, after(time.Minute), "too few to be worth it")
		parks(1)
		require.Zero(t, after(tidyAfter/2))
		parks(5)
		require.Zero(t, after(tidyAfter), "the burst goes on")
		require.Equal(t, 1, after(tidyAfter), "the burst is over")
		parks(tidyCount)
		require.Equal(t, 1, after(tidyPause-time.Millisecond), "the pause")
		require.Equal(t, 2, after(2*tidyAfter), "what came in the pause")
	})
}

func TestTidiesInABurstThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 0
		tidy := tidier{collect: func() { times++ }}
		for range 30 {
			for range tidyCount {
				tidy.park()
			}
			time.Sleep(tidyAfter / 2) // of the bubble
		}
		synctest.Wait()
		require.Equal(t, 1, times)
	})
}
