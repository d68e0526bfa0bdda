// Package server takes requests from clients, decides what becomes of them and passes the responses on.
//
// What a config says is in the Snapshot in force; which of a backend's servers is asked is the balancer's to
// decide, and what passes between l7 and that server the exchange's.
package server

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"l7/balancer"
	"l7/config"
	"l7/exchange"
)

// Server serves the snapshot in force on its listeners. Open, Commit and Drain are for one goroutine; the
// rest may be called at any time.
type Server struct {
	log     zerolog.Logger
	limited zerolog.Logger // for lines that clients can cause

	snapshot  atomic.Pointer[Snapshot]
	listeners map[config.ListenAddress]*listener
	inherited Inheritance // nil: there are none
	conns     conns
	sessions  sync.Pool
	shards    atomic.Uint64 // given to sessions
	pools     *exchange.Pools
	tidier    tidier
	http      fasthttp.Server
}

// clientLines is how many lines a second clients may cause in the log; the rest is left out.
const clientLines = 100

// New returns a server of a snapshot. It listens on nothing yet.
func New(log zerolog.Logger, snapshot *Snapshot, pools *exchange.Pools) *Server {
	s := &Server{
		log:       log,
		limited:   log.Sample(&zerolog.BurstSampler{Burst: clientLines, Period: time.Second}),
		listeners: map[config.ListenAddress]*listener{},
		pools:     pools,
		tidier:    tidier{collect: collect},
	}
	s.snapshot.Store(snapshot)
	s.sessions.New = func() any { return newSession(s) }
	s.http = fasthttp.Server{
		Handler:         s.serveConn,
		Logger:          libraryLog{s},
		ReadBufferSize:  smallBuffer,
		WriteBufferSize: smallBuffer,
		Concurrency:     maxBusy,

		MaxIdleWorkerDuration: workerIdle,
	}
	return s
}

const (
	// smallBuffer is enough for the preface, which is all that fasthttp reads and answers.
	smallBuffer = 128
	// maxBusy is how many connections may be busy at the same time; those that wait do not count. It is far beyond what
	// descriptors allow: limits.connections is the limit that a config sets.
	maxBusy = 1 << 24
	// workerIdle is how long fasthttp keeps a goroutine, and its stack, that has no connection.
	workerIdle = time.Second
)

// now is the time that all is measured in, the balancer's: the cheap half of time.Now.
func (s *Server) now() time.Duration { return balancer.Now() }

// Snapshot is the one in force.
func (s *Server) Snapshot() *Snapshot { return s.snapshot.Load() }

// Swap puts a snapshot in force for all requests from now on, and returns the one before, for the caller to close.
func (s *Server) Swap(next *Snapshot) *Snapshot { return s.snapshot.Swap(next) }

// Addrs are the addresses that are listened on, with the port that the system chose where 0 was asked for.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, 0, len(s.listeners))
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

func (s *Server) serve(l *listener) {
	s.log.Info().Stringer("address", l.Addr()).Msg("listening")
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		if err := s.http.Serve(l); err != nil {
			s.log.Error().Err(err).Stringer("listen", l.address).Msg("listener ended")
		}
	}()
}

// Leave stops listening on sockets that another process has too: whoever comes from now on is that one's. Drain is to follow.
func (s *Server) Leave() {
	for _, l := range s.listeners {
		l.leave()
	}
}

// Drain stops listening, lets the requests in flight finish and closes every connection. The error tells
// how many were cut off when the context ended first. Then their requests have been told of, and a second may have passed since.
func (s *Server) Drain(ctx context.Context) error {
	for _, l := range s.listeners {
		l.stop()
	}
	if err := s.conns.wait(ctx); err != nil {
		cut := s.conns.each(all, (*conn).cut)
		s.awaitCut()
		return fmt.Errorf("cannot finish %d connections in time: %w (drain.timeout)", cut, err)
	}
	return nil
}

// lastWords is how long connections that were cut have to tell what became of their requests.
const lastWords = time.Second

// awaitCut waits until those that were cut have told.
func (s *Server) awaitCut() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = s.conns.wait(ctx) // what has not told by then hangs
}

// libraryLog passes on what fasthttp has to say, as detail.
type libraryLog struct{ server *Server }

// Printf implements fasthttp.Logger.
func (l libraryLog) Printf(format string, args ...any) {
	l.server.limited.Debug().Msgf(format, args...)
}
