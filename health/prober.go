package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// leastPause bounds how often a server is asked, whatever interval and jitter say.
const leastPause = time.Millisecond

// prober makes one check over and over, one at a time, and tells its subscribers what comes of it.
type prober struct {
	key    Key
	check  *check
	cancel context.CancelFunc
	users  int // guarded by Checks.mu

	mu          sync.Mutex // guards all below, and is held while subscribers are told
	dial        Dial
	subscribers map[*subscriber]struct{}
	known       bool // there is a verdict
	verdict     Verdict
	last        Result // as long as there is a verdict
	against     int    // how many results in a row have spoken against the verdict
}

// subscriber gives each Start an identity, since reporters may be equal.
type subscriber struct{ Reporter }

func newProber(key Key, dial Dial, cancel context.CancelFunc) *prober {
	return &prober{key: key, check: newCheck(key), cancel: cancel, dial: dial, subscribers: map[*subscriber]struct{}{}}
}

// join also takes over the dial: the one before may be of a config that is no longer in force.
func (p *prober) join(r Reporter, dial Dial) *subscriber {
	s := &subscriber{r}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dial = dial
	p.subscribers[s] = struct{}{}
	if p.known {
		s.Checked(p.last)
		s.Report(p.verdict)
	}
	return s
}

func (p *prober) leave(s *subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.subscribers, s)
}

// run checks until the context ends. Pauses are counted from the start of a check, so that slow answers do not make
// checks rare; after one that took longer than its pause the next comes at once.
func (p *prober) run(ctx context.Context) {
	// The second check comes early by chance, so that the checks of many servers that were started together spread.
	pause := rand.N(max(p.key.Check.Interval, leastPause))
	for ctx.Err() == nil { // asked here too, since select may choose a pause that is over
		next := time.NewTimer(max(pause, leastPause))
		began := time.Now()
		reason := p.check.ask(ctx, p.dialer())
		if ctx.Err() == nil {
			p.judge(Result{began, reason})
		}
		select {
		case <-next.C:
		case <-ctx.Done():
		}
		next.Stop()
		pause = p.pause()
	}
}

func (p *prober) dialer() Dial {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dial
}

// pause is the interval, give or take the jitter.
func (p *prober) pause() time.Duration {
	interval := max(p.key.Check.Interval, leastPause)
	off := interval / 100 * time.Duration(p.key.Check.Jitter)
	return interval - off + rand.N(2*off+1)
}

// judge makes a verdict of results. The first result is one at once: nobody should wait for a server that is known to be
// well, or trust one that is known not to be.
func (p *prober) judge(result Result) {
	healthy := result.Reason == ""
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = result
	for s := range p.subscribers {
		s.Checked(result)
	}
	if p.known && healthy == p.verdict.Healthy {
		p.against = 0
		return
	}
	p.against++
	needed := p.key.Check.Fall
	if healthy {
		needed = p.key.Check.Rise
	}
	if p.known && p.against < needed {
		return
	}
	p.known, p.verdict, p.against = true, Verdict{Healthy: healthy, Reason: result.Reason}, 0
	for s := range p.subscribers {
		s.Report(p.verdict)
	}
}
