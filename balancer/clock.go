package balancer

import "time"

var epoch = time.Now().Add(-time.Hour) // zero is "never"

// now is the monotonic time that ejections, latencies and rates count in.
func now() time.Duration { return time.Since(epoch) }

// Now is the time that a Request's times are in.
func Now() time.Duration { return now() }
