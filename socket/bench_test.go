package socket

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The size of a small request and of a small answer.
const asked, answered = 300, 400

// connections runs b on several connections at once. What counts is the processor time that both ends take, told as
// cpu-ns/op: unlike the time on the clock, it does not depend on what else the machine does. peer answers at the other end until it is closed, and each returns one round.
func connections(b *testing.B, peer func(far net.Conn), each func(near net.Conn) (round func() error)) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(8)
	before := processorTime(b)
	defer func() { b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op") }()
	b.RunParallel(func(pb *testing.PB) {
		near, far := dial(b, "tcp")
		wait := background(func() { peer(far) })
		round := each(near)
		for pb.Next() {
			if err := round(); err != nil {
				b.Error(err)
				break
			}
		}
		near.Close()
		wait()
	})
}

func processorTime(b *testing.B) int64 {
	b.Helper()
	var usage unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// answerRaw and answerPlain are the two ways of a server: each request is answered.
func answerRaw(far net.Conn) {
	c, in, out := New(far), make([]byte, 4<<10), make([]byte, answered)
	for {
		if _, err := c.Read(in, long); err != nil {
			return
		}
		if err := c.Write(out, long); err != nil {
			return
		}
	}
}

func answerPlain(far net.Conn) {
	in, out := make([]byte, 4<<10), make([]byte, answered)
	for {
		_ = far.SetReadDeadline(time.Now().Add(long))
		if _, err := far.Read(in); err != nil {
			return
		}
		_ = far.SetWriteDeadline(time.Now().Add(long))
		if _, err := far.Write(out); err != nil {
			return
		}
	}
}

// plainRound is a round through the net package. Without deadlines it has no limits.
func plainRound(nc net.Conn, deadlines bool) func() error {
	in, out := make([]byte, 4<<10), make([]byte, asked)
	return func() error {
		if deadlines {
			_ = nc.SetWriteDeadline(time.Now().Add(long))
		}
		if _, err := nc.Write(out); err != nil {
			return err
		}
		if deadlines {
			_ = nc.SetReadDeadline(time.Now().Add(long))
		}
		_, err := nc.Read(in)
		return err
	}
}

// Both ends in the way that is measured.
func BenchmarkEcho(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		connections(b, answerRaw, func(near net.Conn) func() error {
			c, in, out := New(near), make([]byte, 4<<10), make([]byte, asked)
			return func() error {
				if err := c.Write(out, long); err != nil {
					return err
				}
				_, err := c.Read(in, long)
				return err
			}
		})
	})
	b.Run("plain", func(b *testing.B) {
		connections(b, answerPlain, func(near net.Conn) func() error { return plainRound(near, true) })
	})
}

// The other end is the same for all.
func BenchmarkExchange(b *testing.B) {
	pool := NewPool(4 << 10)
	out := make([]byte, asked)
	b.Run("exchange", func(b *testing.B) {
		connections(b, answerRaw, func(near net.Conn) func() error {
			c := New(near)
			return func() error {
				in, _, _, err := c.Exchange(out, pool, long, long)
				pool.Put(in)
				return err
			}
		})
	})
	b.Run("stale+write+receive", func(b *testing.B) {
		connections(b, answerRaw, func(near net.Conn) func() error {
			c := New(near)
			return func() error {
				in, _, _, err := c.exchangePlain(out, pool, long, long)
				pool.Put(in)
				return err
			}
		})
	})
	b.Run("plain", func(b *testing.B) {
		connections(b, answerRaw, func(near net.Conn) func() error { return plainRound(near, true) })
	})
	b.Run("plain without limits", func(b *testing.B) {
		connections(b, answerRaw, func(near net.Conn) func() error { return plainRound(near, false) })
	})
}

func BenchmarkDeadline(b *testing.B) {
	c, _ := pair(b)
	b.Run("lazy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.readBy.arm(time.Minute)
		}
	})
	b.Run("each time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = c.nc.SetReadDeadline(time.Now().Add(time.Minute))
		}
	})
}

func BenchmarkStale(b *testing.B) {
	c, _ := pair(b)
	b.Run("peek", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if c.Stale() {
				b.Fatal("it is not")
			}
		}
	})
	b.Run("peek through net and syscall", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			raw, err := c.nc.(syscall.Conn).SyscallConn()
			must(b, err)
			must(b, raw.Control(func(fd uintptr) {
				var p [1]byte
				if _, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); err != syscall.EAGAIN {
					b.Fatal(err)
				}
			}))
		}
	})
}
