package server

import (
	"sync"

	"l7/metrics"
)

// Cells are what all requests are counted in, by backend. They outlive reloads: a backend's as long as it is in the config.
// All methods may be called concurrently.
type Cells struct {
	nowhere *metrics.Backend

	mu       sync.Mutex // guards all below
	backends map[string]*metrics.Backend
}

// NewCells returns cells that have counted nothing.
func NewCells() *Cells {
	return &Cells{nowhere: metrics.NewBackend(), backends: map[string]*metrics.Backend{}}
}

// Nowhere counts the requests that led to no backend.
func (c *Cells) Nowhere() *metrics.Backend { return c.nowhere }

// get finds or makes the cells of a backend.
func (c *Cells) get(backend string) *metrics.Backend {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.backends[backend] == nil {
		c.backends[backend] = metrics.NewBackend()
	}
	return c.backends[backend]
}

// keep forgets the cells of backends that are not in the config in force.
func (c *Cells) keep(backends []backend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := make(map[string]bool, len(backends))
	for i := range backends {
		used[backends[i].Name()] = true
	}
	for name := range c.backends {
		if !used[name] {
			delete(c.backends, name)
		}
	}
}
