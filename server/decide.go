package server

import (
	"errors"

	"l7/auth"
	"l7/cause"
	"l7/route"
)

// verdict is what is decided about a request before anything is sent: the backend that answers it, or
// the cause that ends it.
type verdict struct {
	backend *backend // nil unless the request may pass
	login   string
	cause   cause.Cause
	err     error  // more about the cause, for the log
	proof   string // what is answered instead, to an authority that asks whether a host is ours
}

// routed is where a request leads.
type routed struct {
	backend *backend // nil: nowhere
	err     error    // then why
}

// route finds the backend of a request. host is in normal form, path is raw.
func (s *Snapshot) route(host, path []byte) routed {
	index, err := s.table.Lookup(host, path)
	if err != nil {
		return routed{err: err}
	}
	return routed{backend: &s.backends[index]}
}

// known says who a request is from. authorization is the field's value. It is false for a stranger where only users may pass.
//
// A stranger is asked for credentials for an unknown host too, so that only users learn which hosts exist.
func (s *Snapshot) known(to routed, authorization []byte) (login string, ok bool) {
	users := s.usersOf(to)
	if users == nil {
		return "", true
	}
	return users.Check(authorization)
}

func (s *Snapshot) usersOf(to routed) *auth.Users {
	if to.backend == nil {
		return s.users
	}
	return to.backend.users
}

// verdict is what becomes of a request of somebody who may pass.
func (to routed) verdict(login string) verdict {
	switch {
	case errors.Is(to.err, route.ErrAmbiguousPath):
		return verdict{login: login, cause: cause.AmbiguousPath}
	case to.err != nil:
		return verdict{login: login, cause: cause.NoRoute}
	}
	return verdict{backend: to.backend, login: login}
}
