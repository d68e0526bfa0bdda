package server

import (
	"l7/balancer"
	"l7/metrics"
)

// View is a backend as those see it who watch and do not serve.
type View struct {
	*balancer.Backend
	Cells *metrics.Backend
}

// Views are the snapshot's backends by name.
func (s *Snapshot) Views() []View {
	views := make([]View, len(s.backends))
	for i := range s.backends {
		views[i] = View{s.backends[i].Backend, s.backends[i].cells}
	}
	return views
}

// View is the backend of a name; false where there is none.
func (s *Snapshot) View(name string) (View, bool) {
	for i := range s.backends {
		if s.backends[i].Name() == name {
			return View{s.backends[i].Backend, s.backends[i].cells}, true
		}
	}
	return View{}, false
}

// Cells are what requests are counted in.
func (s *Snapshot) Cells() *Cells { return s.cells }

// Connections is the number of open client connections, those that wait for a request too.
func (s *Server) Connections() int { return s.conns.len() }
