package server

import (
	"errors"

	"l7/cause"
	"l7/route"
)

// verdict is what is decided about a request before anything is sent: the backend that answers it, or
// the cause that ends it.
type verdict struct {
	backend *backend // nil unless the request may pass
	login   string
	cause   cause.Cause
	err     error // more about the cause, for the log
}

// decide routes a request and checks who it is from. host is in normal form, path is raw, authorization is the
// field's value. It changes nothing but the memory of verified passwords.
//
// A stranger is asked for credentials for an unknown host too, so that only users learn which hosts exist.
func (s *Snapshot) decide(host, path, authorization []byte) verdict {
	index, err := s.table.Lookup(host, path)
	users := s.users
	if err == nil {
		users = s.backends[index].users
	}
	var login string
	if users != nil {
		var known bool
		if login, known = users.Check(authorization); !known {
			return verdict{cause: cause.Unauthorized}
		}
	}
	switch {
	case errors.Is(err, route.ErrAmbiguousPath):
		return verdict{login: login, cause: cause.AmbiguousPath}
	case err != nil:
		return verdict{login: login, cause: cause.NoRoute}
	}
	return verdict{backend: &s.backends[index], login: login}
}
