package balancer

import "time"

var epoch = time.Now().Add(-time.Hour) // zero is "never"

// now is the monotonic time that ejections, latencies and rates count in.
func now() time.Duration { return time.Since(epoch) }
