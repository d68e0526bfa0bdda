// Package health finds out who is well: active checks of servers, and passive counts of failed requests with thresholds.
//
// It tells what it finds and decides nothing: who is picked, how many may be ejected and what is logged is its user's
// business. It knows neither pools nor backends, and connects through a function that it is given.
package health

import (
	"context"
	"net"
	"sync"
	"time"

	"l7/config"
)

// Verdict is what checks have found.
type Verdict struct {
	Healthy bool
	Reason  string // short, for people; empty when healthy
}

// Result is what came of one check.
type Result struct {
	Began  time.Time
	Reason string // why the server is not well; empty: it is
}

// Reporter is told what checks find. Its methods have to be quick, since nobody else is told meanwhile, and must neither start nor stop checks.
type Reporter interface {
	// Report is for a verdict: the first one and every other one that differs from the one before.
	Report(v Verdict)
	// Checked is for each check, before what it may change in the verdict.
	Checked(r Result)
}

// Dial connects to who is checked, at the port that the check names. It ends when the context does and has no other bound.
type Dial func(ctx context.Context) (net.Conn, error)

// Key is what makes two checks the same.
type Key struct {
	// Address is a server address in any form of config.ParseAddress, always in the same one.
	Address string
	// Transport is the same for those that are connected to in the same way.
	Transport string
	Check     config.Health
}

// Checks shares checks: one address with equal settings in two backends is asked once.
type Checks struct {
	mu      sync.Mutex // guards all below
	probers map[Key]*prober
}

// NewChecks returns an empty Checks. It has nothing to close: each check ends when it is stopped.
func NewChecks() *Checks { return &Checks{probers: map[Key]*prober{}} }

// Start has an address checked from now on. Who joins a running check is told its last result and present verdict, if there are, before
// Start returns; all else is told from the checking goroutine. So a reload that starts the new checks before it stops the
// old ones interrupts none that stays. Of all that were given for a check, the last dial is used.
//
// Stop ends it and may be called more than once. It waits for no check, but for a Report that is running, so that none
// comes after it has returned. So neither Start nor stop may be called under a lock that Report takes.
func (c *Checks) Start(key Key, dial Dial, r Reporter) (stop func()) {
	p := c.take(key, dial)
	s := p.join(r, dial)
	return sync.OnceFunc(func() {
		p.leave(s)
		c.giveBack(p)
	})
}

// Len is how many checks are running.
func (c *Checks) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.probers)
}

// take returns the running prober, or starts one. It runs until it was given back as often as it was taken.
func (c *Checks) take(key Key, dial Dial) *prober {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.probers[key]
	if p == nil {
		ctx, cancel := context.WithCancel(context.Background())
		p = newProber(key, dial, cancel)
		c.probers[key] = p
		go p.run(ctx)
	}
	p.users++
	return p
}

func (c *Checks) giveBack(p *prober) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.users--
	if p.users == 0 {
		delete(c.probers, p.key)
		p.cancel()
	}
}
