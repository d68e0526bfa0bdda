// Package ratelimit answers one question: may this key have one more request now? A key is whatever the caller counts
// by, usually a client address.
//
// It is GCRA, the generic cell rate algorithm (ITU-T I.371): a leaky bucket kept as one time per key, the time at which
// everything the key has taken would be used up at the configured rate. That time passes by itself, so there is no
// background goroutine and nothing to close.
//
// The package reads no clock, answers no request and shares nothing with other processes.
package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// A stamp is a time in sixteenths of a nanosecond since the process started, so that the interval of a thousand million
// requests a second still has a few digits. It holds 36 years; maxSpan leaves 27 of them to the process.
type stamp uint64

const (
	perNanosecond       = 16
	maxSpan       stamp = 1 << 62 // the longest time that a burst takes to come back: 9 years
)

// Limiter bounds the requests of each key. All methods may be called concurrently.
type Limiter struct {
	interval stamp // what one request costs
	span     stamp // what a key may owe: the cost of a burst
	seed     maphash.Seed
	shards   [shardCount]shard
}

// New returns a limiter of count requests per time to each key. A key that was quiet may send burst requests at once;
// a burst of 0 stands for count. A burst that would take over nine years to come back is cut to that.
//
// It panics unless count and per are positive and burst is not negative: the config was to be checked before.
func New(count int, per time.Duration, burst int) *Limiter {
	if count <= 0 || per <= 0 || burst < 0 {
		panic("BUG: a rate limit needs a positive count and time, and no negative burst")
	}
	if burst == 0 {
		burst = count
	}
	whole := min(stamp(per), maxSpan/perNanosecond) * perNanosecond
	// Rounded down, so that count requests never take longer than the time they were promised in. The error is below
	// 0.01 % up to a million requests a second. Never 0: that would be no limit.
	interval := max(whole/stamp(count), 1)
	return &Limiter{
		interval: interval,
		span:     min(stamp(burst), maxSpan/interval) * interval,
		seed:     maphash.MakeSeed(),
	}
}

// Take counts one request of the key and reports whether it may pass. If not, nothing is counted, and wait is the time
// until one would pass (for Retry-After), rounded up to a nanosecond and never 0.
//
// now is a monotonic time since the start of the process. Callers may race: a now somewhat before that of an earlier
// call makes the answer stricter by the difference, no more.
func (l *Limiter) Take(key uint64, now time.Duration) (wait time.Duration, ok bool) {
	h, t := mix(key), toStamp(now)
	s := l.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	b, i := s.find(h)
	if b == nil {
		b, i = s.room(h, t)
	}
	next, over := l.charge(b.until[i], t)
	if over > 0 {
		return toDuration(over), false
	}
	b.until[i] = next
	return 0, true
}

// Peek answers as Take would, and counts nothing.
func (l *Limiter) Peek(key uint64, now time.Duration) (wait time.Duration, ok bool) {
	h := mix(key)
	over := l.shard(h).peek(h, l, toStamp(now))
	return toDuration(over), over == 0
}

// AddrKey returns the key of a client address: an IPv4 address (also one mapped into IPv6) by itself, an IPv6 address
// by its /64, the least that a subscriber is given (RFC 6177), within which changing the address costs nothing.
//
// The hash is seeded at random for each Limiter, so that nobody can choose addresses which share a key or crowd a
// bucket. Hence a key means nothing to another Limiter.
func (l *Limiter) AddrKey(addr netip.Addr) uint64 {
	addr = addr.Unmap()
	if addr.Is4() {
		b := addr.As4()
		return maphash.Bytes(l.seed, b[:])
	}
	b := addr.As16()
	return maphash.Bytes(l.seed, b[:8])
}

// charge adds one request to what is owed until a time. It returns the new time, and by how much that is over the
// limit: 0 if the request may pass.
func (l *Limiter) charge(until, now stamp) (next, over stamp) {
	next = max(until, now) + l.interval
	if limit := now + l.span; next > limit {
		return next, next - limit
	}
	return next, 0
}

func (l *Limiter) shard(h uint64) *shard { return &l.shards[h%shardCount] }

func toStamp(d time.Duration) stamp { return stamp(max(d, 0)) * perNanosecond }

// toDuration rounds up, so that waiting for the result is enough.
func toDuration(s stamp) time.Duration {
	return time.Duration((s + perNanosecond - 1) / perNanosecond)
}
