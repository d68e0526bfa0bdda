package http1

import "errors"

// asError is the *Error that err is, or one without status and reason.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{}
}
