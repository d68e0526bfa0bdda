package balancer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/exchange"
)

// An outage is told of once when it begins and once when it is over, however many requests it meets.
func TestAnOutageIsToldOfOnce(t *testing.T) {
	f := func(name, allDown string, answers bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var told []string
			registry := NewRegistry(exchange.NewPools(), func(c Change) {
				if c.IsBackends() {
					told = append(told, c.Backend+" "+c.State)
				}
			})
			cfg := section(script(t, answering("200 OK")).Server, script(t, answering("200 OK")).Server)
			cfg.AllDown = allDown
			b := New("b", cfg, registry, options)
			t.Cleanup(b.Close)
			_, x := asked(t, b)
			x.Finish()
			for _, m := range b.members {
				m.verdict.Store(unwell)
			}
			for range 3 {
				x := asking(t)
				err := b.Do(x)
				if answers {
					require.NoError(t, err)
					x.Finish()
				} else {
					require.Equal(t, cause.Unavailable, causeOf(t, err))
				}
				require.True(t, b.IsDown())
			}
			require.Equal(t, []string{"b down"}, told)
			b.members[0].verdict.Store(well)
			for range 2 {
				_, x := asked(t, b)
				x.Finish()
			}
			require.Equal(t, []string{"b down", "b up"}, told)
			require.False(t, b.IsDown())
		})
	}
	f("fail", "fail", false)
	f("serve", "serve", true)
}

// The counts tell the requests from the further attempts.
func TestCounts(t *testing.T) {
	b := failing(t, func(cfg *config.Backend) {
		cfg.Retry.On, cfg.Retry.Budget, cfg.Policy = []config.StatusRange{{First: 503, Last: 503}}, 0, "first"
	}, script(t, answering("503 One")).Server, script(t, answering("200 OK")).Server)
	for range floorBurst + 5 {
		_, x := asked(t, b)
		x.Finish()
	}
	require.Equal(t, Counts{Requests: floorBurst + 5, Retries: floorBurst, Unaffordable: 5}, b.Counts())
}
