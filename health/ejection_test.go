package health

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sec = time.Second

// usual thresholds: two failures eject, for 5 s and up to 15 s.
var usual = Thresholds{After: 2, Time: 5 * sec, Max: 15 * sec}

// ejected returns one that was ejected at a time, for the first time.
func ejected(t *testing.T, now time.Duration) *Ejection {
	e := &Ejection{}
	require.Zero(t, e.Failed(now, usual, nil))
	require.Equal(t, 5*sec, e.Failed(now, usual, nil))
	return e
}

func TestEjectionTakesFailuresInARow(t *testing.T) {
	var e Ejection
	require.Equal(t, In, e.State(1*sec))
	require.False(t, e.Claim(1*sec))
	require.False(t, e.ClaimEarly(1*sec, 0))
	require.False(t, e.Succeeded(1*sec))
	require.Zero(t, e.Failed(1*sec, usual, nil))
	require.Equal(t, 1, e.Failures())
	require.False(t, e.Succeeded(2*sec), "nothing was ended by it")
	require.Zero(t, e.Failures())
	require.Zero(t, e.Failed(3*sec, usual, nil))
	require.Equal(t, In, e.State(3*sec))
	require.Zero(t, e.Until())
	require.Equal(t, 5*sec, e.Failed(4*sec, usual, nil))
	require.Equal(t, Out, e.State(4*sec))
	require.Equal(t, Out, e.State(9*sec-1))
	require.Equal(t, Due, e.State(9*sec))
	require.Equal(t, 9*sec, e.Until())
}

func TestEjectionNeverWithoutThresholds(t *testing.T) {
	f := func(th Thresholds) {
		t.Helper()
		var e Ejection
		for range 10 {
			require.Zero(t, e.Failed(1*sec, th, nil))
		}
		require.Equal(t, In, e.State(1*sec))
	}
	f(Thresholds{})
	f(Thresholds{Time: 5 * sec, Max: 10 * sec})
	f(Thresholds{After: 1})
}

// Each case is a history of one server: failures in pairs, which eject it when it is in, and how long it is then out.
func TestEjectionLastsLonger(t *testing.T) {
	type step struct {
		now time.Duration
		do  string // fail (twice), probe fails, probe succeeds, readmit
		out time.Duration
	}
	f := func(th Thresholds, steps ...step) {
		t.Helper()
		var e Ejection
		for _, c := range steps {
			switch c.do {
			case "fail":
				require.Zero(t, e.Failed(c.now, th, nil), c)
				require.Equal(t, c.out, e.Failed(c.now, th, nil), c)
			case "probe fails":
				require.True(t, e.Claim(c.now), c)
				require.Equal(t, c.out, e.Failed(c.now, th, nil), c)
			case "probe succeeds":
				require.True(t, e.Claim(c.now), c)
				require.True(t, e.Succeeded(c.now), c)
			case "readmit":
				require.True(t, e.Readmit(), c)
			}
		}
	}
	long := Thresholds{After: 2, Time: 5 * sec, Max: 15 * sec}
	// Failed probes double it, up to the most.
	f(long, step{1 * sec, "fail", 5 * sec}, step{6 * sec, "probe fails", 10 * sec}, step{16 * sec, "probe fails", 15 * sec}, step{31 * sec, "probe fails", 15 * sec})
	// A probe that came late is no time that it was in.
	f(long, step{1 * sec, "fail", 5 * sec}, step{100 * sec, "probe fails", 10 * sec})
	// Soon after it is back: longer than before. In for longer than it was out: from the start.
	f(long, step{1 * sec, "fail", 5 * sec}, step{6 * sec, "probe succeeds", 0}, step{11 * sec, "fail", 10 * sec})
	f(long, step{1 * sec, "fail", 5 * sec}, step{6 * sec, "probe succeeds", 0}, step{11*sec + 1, "fail", 5 * sec})
	f(
		long, step{1 * sec, "fail", 5 * sec}, step{6 * sec, "probe fails", 10 * sec}, step{16 * sec, "probe succeeds", 0},
		step{26*sec + 1, "fail", 5 * sec}, step{31*sec + 1, "probe fails", 10 * sec},
	)
	// An active check that readmits it early does not make ejections short.
	f(long, step{1 * sec, "fail", 5 * sec}, step{2 * sec, "readmit", 0}, step{3 * sec, "fail", 10 * sec}, step{4 * sec, "readmit", 0}, step{23*sec + 1, "fail", 5 * sec})
	// A most below the first means the first.
	f(Thresholds{After: 2, Time: 5 * sec}, step{1 * sec, "fail", 5 * sec}, step{6 * sec, "probe fails", 5 * sec})
	// The most that a Duration holds does not run over.
	most := Thresholds{After: 2, Time: 1 << 60, Max: 1 << 60}
	f(most, step{1 * sec, "fail", 1 << 60}, step{1*sec + 1<<60, "probe fails", 1 << 60})
}

// A reload may set other thresholds while a server is out.
func TestEjectionUnderOtherThresholds(t *testing.T) {
	f := func(th Thresholds, out time.Duration) {
		t.Helper()
		e := ejected(t, 1*sec)
		require.True(t, e.Claim(6*sec))
		require.Equal(t, out, e.Failed(6*sec, th, nil))
		require.Equal(t, out == 0, e.State(6*sec) == In)
	}
	f(Thresholds{After: 9, Time: 5 * sec, Max: 15 * sec}, 10*sec)
	f(Thresholds{After: 2, Time: 1 * sec, Max: 2 * sec}, 2*sec)
	f(Thresholds{After: 2, Time: 30 * sec, Max: 60 * sec}, 30*sec)
	f(Thresholds{}, 0)
}

// A request that started before the ejection ends while it lasts: that tells nothing new.
func TestEjectionIgnoresWhatIsLate(t *testing.T) {
	e := ejected(t, 1*sec)
	for _, now := range []time.Duration{2 * sec, 5 * sec, 7 * sec} { // at 7 s it is due
		require.Zero(t, e.Failed(now, usual, nil))
		require.False(t, e.Succeeded(now))
		require.Equal(t, 6*sec, e.Until())
		require.Equal(t, 2, e.Failures())
	}
	require.Equal(t, Due, e.State(7*sec))
	require.True(t, e.ClaimEarly(3*sec, 2*sec), "late failures do not put off an early claim")
}

func TestEjectionAllowed(t *testing.T) {
	var e Ejection
	asked, answer := 0, false
	allowed := func() bool {
		asked++
		require.True(t, e.mu.TryLock(), "it is asked without a lock")
		e.mu.Unlock()
		return answer
	}
	require.Zero(t, e.Failed(1*sec, usual, allowed))
	require.Zero(t, asked, "it is asked only when there is something to allow")
	require.Zero(t, e.Failed(2*sec, usual, allowed))
	require.Zero(t, e.Failed(3*sec, usual, allowed))
	require.Equal(t, 2, asked)
	require.Equal(t, In, e.State(3*sec))
	answer = true
	require.Equal(t, 5*sec, e.Failed(4*sec, usual, allowed))
	require.Equal(t, 3, asked)
	answer = false
	require.Zero(t, e.Failed(5*sec, usual, allowed))
	require.True(t, e.Claim(9*sec))
	require.Equal(t, 10*sec, e.Failed(9*sec, usual, allowed), "a failed probe is ejected again in any case")
	require.Equal(t, 3, asked)
}

// While it is asked whether the ejection is allowed, a request succeeds.
func TestEjectionSeesASuccessMeanwhile(t *testing.T) {
	var e Ejection
	e.Failed(1*sec, usual, nil)
	require.Zero(t, e.Failed(1*sec, usual, func() bool { e.Succeeded(1 * sec); return true }))
	require.Equal(t, In, e.State(1*sec))
}

// While it is asked whether the ejection is allowed, another failure ejects.
func TestEjectionIsCountedOnce(t *testing.T) {
	var e Ejection
	e.Failed(1*sec, usual, nil)
	require.Zero(t, e.Failed(1*sec, usual, func() bool { return e.Failed(1*sec, usual, nil) == 5*sec }))
	require.Equal(t, 6*sec, e.Until())
}

func TestEjectionProbe(t *testing.T) {
	e := ejected(t, 1*sec)
	require.False(t, e.Claim(6*sec-1))
	require.True(t, e.Claim(6*sec))
	require.Equal(t, Probing, e.State(6*sec))
	require.Equal(t, 6*sec, e.Until())
	require.False(t, e.Claim(6*sec))
	require.False(t, e.ClaimEarly(6*sec, 0))
	e.Unclaim()
	require.Equal(t, Due, e.State(6*sec))
	require.True(t, e.Claim(6*sec))
	require.True(t, e.Succeeded(7*sec))
	require.Equal(t, In, e.State(7*sec))
	require.Zero(t, e.Until())
	require.Zero(t, e.Failures())
	e.Unclaim() // of nothing
	require.Equal(t, In, e.State(7*sec))
}

func TestEjectionClaimEarly(t *testing.T) {
	e := ejected(t, 1*sec)
	require.False(t, e.ClaimEarly(2*sec-1, 1*sec))
	require.True(t, e.ClaimEarly(2*sec, 1*sec))
	e.Unclaim()
	require.Equal(t, Out, e.State(2*sec), "its time is not over")
	require.True(t, e.ClaimEarly(2*sec, 1*sec))
	require.Equal(t, 10*sec, e.Failed(3*sec, usual, nil))
	require.False(t, e.ClaimEarly(4*sec-1, 1*sec), "the probe's failure is the last one")
	require.True(t, e.ClaimEarly(4*sec, 1*sec))
	require.True(t, e.Succeeded(4*sec))

	e = ejected(t, 1*sec)
	require.True(t, e.ClaimEarly(6*sec, time.Hour), "due is due")
}

// Early foretells ClaimEarly, and is true as well when there is nothing to claim.
func TestEjectionEarly(t *testing.T) {
	var in Ejection
	require.True(t, in.Early(1*sec, 1*sec))
	e := ejected(t, 1*sec)
	require.False(t, e.Early(2*sec-1, 1*sec))
	require.True(t, e.Early(2*sec, 1*sec))
	require.True(t, e.Early(6*sec, time.Hour))
	require.Equal(t, Due, e.State(6*sec), "nothing was claimed")
	require.True(t, e.Claim(6*sec))
	require.False(t, e.Early(6*sec, 0), "one is finding out already")
}

func TestEjectionReadmit(t *testing.T) {
	var e Ejection
	require.False(t, e.Readmit())
	e.Failed(1*sec, usual, nil)
	require.False(t, e.Readmit())
	require.Equal(t, 1, e.Failures(), "only a success ends a row that ejected nobody")

	out := ejected(t, 1*sec)
	require.True(t, out.Readmit())
	require.Equal(t, In, out.State(2*sec))
	require.Zero(t, out.Failures())

	probing := ejected(t, 1*sec)
	require.True(t, probing.Claim(6*sec))
	require.True(t, probing.Readmit())
	require.False(t, probing.Succeeded(7*sec), "it was back already")
	require.Equal(t, In, probing.State(7*sec))
}

// Of many that ask at the same time, one is the probe, in each of many rounds.
func TestEjectionHasOneProbe(t *testing.T) {
	e := ejected(t, 1*sec)
	now := e.Until()
	for round := range 1000 {
		var probes atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if (i%2 == 0 && e.Claim(now)) || (i%2 == 1 && e.ClaimEarly(now, sec)) {
					probes.Add(1)
				}
				e.State(now)
				e.Until()
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, probes.Load())
		if round%2 == 0 {
			e.Unclaim()
			continue
		}
		require.Positive(t, e.Failed(now, usual, nil))
		now = e.Until()
	}
}

// Whatever happens at the same time, it ends up in one of its states, and a success of a probe or a check brings it back.
func TestEjectionUnderConcurrency(t *testing.T) {
	var e Ejection
	var clock, outs, backs atomic.Int64
	var wg sync.WaitGroup
	th := Thresholds{After: 2, Time: 3, Max: 50}
	for i := range 8 {
		wg.Go(func() {
			for n := range 2000 {
				now := time.Duration(clock.Add(1))
				probe := e.Claim(now)
				switch {
				case !probe && e.State(now) != In:
				case probe && n%7 == 0:
					e.Unclaim()
				case (n+i)%3 != 0 && e.Failed(now, th, nil) > 0:
					outs.Add(1)
				case (n+i)%3 == 0 && e.Succeeded(now), n%100 == 0 && e.Readmit():
					backs.Add(1)
				}
			}
		})
	}
	wg.Wait()
	now := time.Duration(clock.Load())
	require.Positive(t, outs.Load())
	require.Positive(t, backs.Load())
	require.NotEqual(t, Probing, e.State(now), "each probe has ended")
	require.Equal(t, e.State(now) != In, e.Readmit())
	require.Equal(t, In, e.State(now))
}

func TestEjectionHotPathAllocatesNothing(t *testing.T) {
	var e Ejection
	require.Zero(t, testing.AllocsPerRun(100, func() {
		e.State(sec)
		e.Succeeded(sec)
	}))
}

func BenchmarkEjectionState(b *testing.B) {
	var e Ejection
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if e.State(sec) != In {
				b.Fail()
			}
		}
	})
}

func BenchmarkEjectionSucceeded(b *testing.B) {
	var e Ejection
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if e.Succeeded(sec) {
				b.Fail()
			}
		}
	})
}
