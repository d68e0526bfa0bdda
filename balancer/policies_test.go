package balancer

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/exchange"
)

var policyNames = []string{"least_loaded", "round_robin", "random_two", "least_time", "consistent_hash", "first"}

// somewhere is a server that nobody connects to.
func somewhere(t testing.TB, i int) config.Server {
	t.Helper()
	addr, err := config.ParseAddress(fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
	require.NoError(t, err)
	return config.Server{Address: addr, Weight: 1}
}

// picking is a backend of as many servers that picks by a policy and connects to nobody. Each change is made to its section.
func picking(t testing.TB, policy string, n int, changes ...func(*config.Backend)) *Backend {
	t.Helper()
	cfg := config.DefaultBackend()
	cfg.Policy = policy
	for i := range n {
		cfg.Servers = append(cfg.Servers, somewhere(t, i+1))
	}
	for _, change := range changes {
		change(&cfg)
	}
	b := New("b", cfg, newRegistry(), options)
	t.Cleanup(b.Close)
	return b
}

// keyed is a request that differs from others only in its key.
func keyed(i int) *Request {
	r := NewRequest(exchange.New())
	r.Key = HashKey([]byte(fmt.Sprint("client ", i)))
	return r
}

// picks makes picks as Do would, for requests that are over at once, and counts them by member.
func picks(b *Backend, from, n int) []int {
	counts := make([]int, len(b.members))
	for i := range n {
		at := now()
		if m := b.pick(keyed(from+i), at); m != nil {
			b.charge(m, at)
			counts[slices.Index(b.members, m)]++
		}
	}
	return counts
}

func weights(weights ...int) func(*config.Backend) {
	return func(cfg *config.Backend) {
		for i, w := range weights {
			cfg.Servers[i].Weight = w
		}
	}
}

// What every policy does alike.
func TestEveryPolicy(t *testing.T) {
	f := func(name string, check func(t *testing.T, policy string), except ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for _, policy := range policyNames {
				if slices.Contains(except, policy) {
					continue
				}
				t.Run(policy, func(t *testing.T) { check(t, policy) })
			}
		})
	}
	f("none", func(t *testing.T, policy string) {
		require.Nil(t, picking(t, policy, 0).pick(keyed(0), now()))
	})
	f("one", func(t *testing.T, policy string) {
		require.Equal(t, []int{10}, picks(picking(t, policy, 1), 0, 10))
	})
	f("all draining", func(t *testing.T, policy string) {
		b := picking(t, policy, 3)
		for _, m := range b.members {
			m.Drain(true)
		}
		require.Nil(t, b.pick(keyed(0), now()))
		require.Equal(t, cause.Unavailable, b.refusal(keyed(0), now()).Cause)
	})
	f("all full", func(t *testing.T, policy string) {
		b := picking(t, policy, 3, func(cfg *config.Backend) {
			for i := range cfg.Servers {
				cfg.Servers[i].MaxInFlight = 1
			}
		})
		for i := range b.members {
			m := b.pick(keyed(i), now())
			_, ok := m.enter(now())
			require.True(t, ok)
		}
		require.Nil(t, b.pick(keyed(0), now()))
		require.Equal(t, cause.Full, b.refusal(keyed(0), now()).Cause)
		b.members[1].leave()
		require.Same(t, b.members[1], b.pick(keyed(0), now()))
		b.members[0].leave()
		b.members[2].leave()
	})
	f("draining one", func(t *testing.T, policy string) {
		b := picking(t, policy, 3)
		b.members[0].Drain(true)
		counts := picks(b, 0, 100)
		require.Zero(t, counts[0])
		require.Equal(t, 100, counts[1]+counts[2])
		b.members[0].Drain(false)
		require.NotZero(t, picks(b, 0, 100)[0])
	})
	f("weight 0", func(t *testing.T, policy string) {
		counts := picks(picking(t, policy, 3, weights(0, 1, 1)), 0, 100)
		require.Zero(t, counts[0])
		require.Equal(t, 100, counts[1]+counts[2])
		require.Nil(t, picking(t, policy, 2, weights(0, 0)).pick(keyed(0), now()))
	})
	f("weights", func(t *testing.T, policy string) {
		const each = 2000
		counts := picks(picking(t, policy, 3, weights(1, 2, 3)), 0, 6*each)
		for i, n := range counts {
			require.InEpsilon(t, (i+1)*each, n, 0.15, counts)
		}
	}, "first") // it fills one server before the next
	f("each server once", func(t *testing.T, policy string) {
		b := picking(t, policy, 20, weights(50, 10, 3))
		r := keyed(0)
		for range b.members {
			m := b.pick(r, now())
			require.NotNil(t, m)
			require.False(t, r.hasTried(m))
			r.tried = append(r.tried, m)
		}
		require.Nil(t, b.pick(r, now()))
	})
	f("backups", func(t *testing.T, policy string) {
		b := picking(t, policy, 4, func(cfg *config.Backend) { cfg.Servers[0].Backup, cfg.Servers[2].Backup = true, true })
		counts := picks(b, 0, 100)
		require.Zero(t, counts[0]+counts[2])
		b.members[1].Drain(true)
		require.Equal(t, []int{0, 0, 0, 100}, picks(b, 0, 100))
		b.members[3].Drain(true)
		counts = picks(b, 0, 100)
		require.Equal(t, 100, counts[0]+counts[2])
		b.members[1].Drain(false)
		require.Equal(t, []int{0, 100, 0, 0}, picks(b, 0, 100))
	})
	f("a return is no flood", func(t *testing.T, policy string) {
		b := picking(t, policy, 3)
		b.members[1].Drain(true)
		require.Zero(t, picks(b, 0, 3000)[1])
		b.members[1].Drain(false)
		require.LessOrEqual(t, picks(b, 3000, 60)[1], 40)
	})
	f("eight at once", atOnce)
}

// atOnce has eight clients ask while a server comes and goes and another one is often full. Nothing is counted that is over.
func atOnce(t *testing.T, policy string) {
	cfg := section(serving(t, "1"), serving(t, "2"), serving(t, "3"))
	cfg.Policy = policy
	cfg.Servers[0].MaxInFlight, cfg.Servers[2].MaxConnections = 1, 2
	cfg.Servers[1].Weight = 2
	b := New("b", cfg, newRegistry(), options)
	defer b.Close()
	var clients sync.WaitGroup
	for i := range 8 {
		x := asking(t)
		clients.Go(func() {
			body, out, method, client := x.Body, x.Out, x.Method, x.Client
			for j := range 100 {
				x.Reset()
				x.Body, x.Out, x.Method, x.Client, x.Repeatable = body, out, method, client, true
				x.Key = HashKey([]byte{byte(i), byte(j)})
				b.members[1].Drain(j%10 == 0)
				switch err := b.Do(x); {
				case err == nil:
					b.Candidates(x)
					x.Finish()
				case err.(*cause.Error).Cause != cause.Full: //nolint:errorlint // it always is one
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	b.members[1].Drain(false)
	for _, m := range b.members {
		require.Zero(t, m.InFlight())
		require.Zero(t, m.PendingInFlight())
		require.Equal(t, m.Idle(), m.Connections())
	}
	require.LessOrEqual(t, b.members[2].Connections(), 2)
	require.Zero(t, b.shared.inFlight.Load())
	require.True(t, b.shared.queue.isEmpty())
}

// owners are the addresses that keys belong to.
func owners(b *Backend, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = b.pick(keyed(i), now()).Address().String()
	}
	return list
}

// Removing one of ten servers moves its keys and few others, and the order of the config means nothing.
func TestConsistentHashMovesFewKeys(t *testing.T) {
	const keys = 10000
	moved := func(a, b []string) (n int) {
		for i := range a {
			if a[i] != b[i] {
				n++
			}
		}
		return n
	}
	ten := owners(picking(t, "consistent_hash", 10), keys)
	shuffled := picking(t, "consistent_hash", 10, func(cfg *config.Backend) { slices.Reverse(cfg.Servers) })
	require.Zero(t, moved(ten, owners(shuffled, keys)))
	for i := range 10 {
		nine := picking(t, "consistent_hash", 10, func(cfg *config.Backend) { cfg.Servers = slices.Delete(cfg.Servers, i, i+1) })
		require.LessOrEqual(t, moved(ten, owners(nine, keys)), keys*12/100, "without server %d", i)
	}
	out := picking(t, "consistent_hash", 10)
	out.members[3].Drain(true)
	after := owners(out, keys)
	for k, owner := range ten {
		if owner != out.members[3].Address().String() {
			require.Equal(t, owner, after[k], "a server that is out for a time costs nobody else its key")
		}
	}
}

// One server more moves its share of the keys, however many there are. A bug had the size of the table, and with it the place of every
// key, change with each server from the eleventh on.
func TestConsistentHashGrowsByOne(t *testing.T) {
	const keys = 10000
	for _, n := range []int{1, 2, 10, 11, 20, 99, 300} {
		before, after := owners(picking(t, "consistent_hash", n), keys), owners(picking(t, "consistent_hash", n+1), keys)
		moved := 0
		for i := range before {
			if before[i] != after[i] {
				moved++
			}
		}
		require.LessOrEqual(t, moved, keys*13/10/(n+1)+keys*2/100, "%d servers and one more", n)
		require.NotZero(t, moved)
	}
}

// One key that everybody asks for spreads over the servers once its own has more than its share.
func TestConsistentHashBoundsLoad(t *testing.T) {
	b := picking(t, "consistent_hash", 4)
	const requests = 1000
	own := b.pick(keyed(7), now())
	for range slack {
		m := b.pick(keyed(7), now())
		require.Same(t, own, m)
		_, ok := m.enter(now())
		require.True(t, ok)
	}
	for range requests - slack {
		_, ok := b.pick(keyed(7), now()).enter(now())
		require.True(t, ok)
	}
	for _, m := range b.members {
		require.LessOrEqual(t, m.InFlight(), requests/4*5/4+1)
	}
	require.Greater(t, own.InFlight(), requests/4)
}

// A reload moves no key, whatever is in flight: what began before it counts as what began after. A bug had each server's own requests outlive the
// reload, and not their sum, so that all looked overloaded.
func TestConsistentHashSurvivesAReload(t *testing.T) {
	const keys = 60
	registry, cfg := newRegistry(), section(somewhere(t, 1), somewhere(t, 2), somewhere(t, 3))
	cfg.Policy = "consistent_hash"
	old := activated(t, registry, cfg, nil)
	held := map[int]*Member{}
	for i := range keys {
		held[i] = old.pick(keyed(i), now())
		_, ok := held[i].enter(now())
		require.True(t, ok)
	}
	before := owners(old, keys)
	next := activated(t, registry, cfg, old)
	defer next.Close()
	require.Equal(t, before, owners(next, keys))
	for _, m := range held {
		m.leave()
	}
	require.Zero(t, next.shared.inFlight.Load())
	for _, m := range next.members {
		require.Zero(t, m.InFlight())
	}
}

// Least time leaves a slow server little, and looks at it again when its latency is old.
func TestLeastTimeAvoidsASlowServer(t *testing.T) {
	b := picking(t, "least_time", 3)
	for i, took := range []time.Duration{20 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond} {
		for range 4 { // fewer are chance
			b.members[i].latency.observe(now(), took)
		}
	}
	counts := picks(b, 0, 100)
	require.Equal(t, []int{50, 50, 0}, counts)
	at := now() + 5*decay
	seen := map[*Member]bool{}
	for range 10 {
		m := b.pick(keyed(0), at)
		b.charge(m, at)
		seen[m] = true
	}
	require.Len(t, seen, 3)
}

// A client goes where its cookie leads while that server is available, and a made-up cookie leads nowhere.
func TestStickyGoesBeforeThePolicy(t *testing.T) {
	for _, policy := range policyNames {
		b := picking(t, policy, 5, func(cfg *config.Backend) { cfg.Sticky.Cookie = "c" })
		for _, m := range b.members {
			r := keyed(1)
			r.Stuck = []byte(m.Stick())
			require.Same(t, m, b.pick(r, now()))
			m.Drain(true)
			require.NotSame(t, m, b.pick(r, now()))
			m.Drain(false)
		}
		r := keyed(1)
		r.Stuck = []byte(b.members[3].Address().String())
		require.NotNil(t, b.pick(r, now()))
	}
}

// A client sticks to a backup only while that gets work at all. A bug left it there when the main servers were back.
func TestStickyToABackup(t *testing.T) {
	b := picking(t, "first", 3, func(cfg *config.Backend) {
		cfg.Sticky.Cookie, cfg.Servers[1].Backup, cfg.Servers[2].Backup = "c", true, true
	})
	r := keyed(1)
	r.Stuck = []byte(b.members[2].Stick())
	require.Same(t, b.members[0], b.pick(r, now()))
	b.members[0].Drain(true)
	require.Same(t, b.members[2], b.pick(r, now()))
	b.members[0].Drain(false)
	require.Same(t, b.members[0], b.pick(r, now()))
}

// What was in flight when the policy became this one is no overload of it.
func TestConsistentHashAfterAnotherPolicy(t *testing.T) {
	const keys = 60
	registry, cfg := newRegistry(), section(somewhere(t, 1), somewhere(t, 2), somewhere(t, 3))
	cfg.Policy = "consistent_hash"
	ref := activated(t, newRegistry(), cfg, nil)
	defer ref.Close()
	want := owners(ref, keys)
	cfg.Policy = "least_loaded"
	old := activated(t, registry, cfg, nil)
	var held []*Member
	for i := range keys {
		m := old.pick(keyed(i), now())
		_, ok := m.enter(now())
		require.True(t, ok)
		held = append(held, m)
	}
	cfg.Policy = "consistent_hash"
	next := activated(t, registry, cfg, old)
	defer next.Close()
	got := owners(next, keys)
	moved := 0
	for i := range got {
		if got[i] != want[i] {
			moved++
		}
	}
	for _, m := range held {
		m.leave()
	}
	require.Zero(t, moved)
}
