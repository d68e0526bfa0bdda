package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"l7/admin/api"
	"l7/auth"
)

// maxBody bounds what is read of a question.
const maxBody = 64 << 10

// asJSON answers with what f returns. An error of f that is no *refusal is one of the question.
func asJSON(f func(http.ResponseWriter, *http.Request) (any, error)) func(*door, http.ResponseWriter, *http.Request) {
	return func(_ *door, w http.ResponseWriter, r *http.Request) {
		answer, err := f(w, r)
		if err != nil {
			answerError(w, err)
			return
		}
		status := http.StatusOK
		if reload, ok := answer.(*api.Reload); ok && reload.Failed() {
			status = http.StatusUnprocessableEntity
		}
		answerJSON(w, status, answer)
	}
}

func answerJSON(w http.ResponseWriter, status int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"BUG: the answer cannot be written as JSON"}`)
	}
	text = append(text, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // who asked has gone
}

// answerError is where an error becomes a response.
func answerError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		status = refused.status
	case errors.Is(err, ErrUnknown):
		status = http.StatusNotFound
	case errors.Is(err, ErrUpgrading):
		status = http.StatusServiceUnavailable
	}
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", auth.Challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "1")
		}
	}
	answerJSON(w, status, api.Error{Message: err.Error()})
}

func badRequest(text string) error { return &refusal{http.StatusBadRequest, text} }

// decode reads the JSON of a question: one value, with no field that is not known. It may be left out where it is optional.
func decode(w http.ResponseWriter, r *http.Request, into any, optional bool) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		_, err = decoder.Token()
		if err == nil {
			return badRequest("cannot read the request: there is more behind its JSON")
		}
	} else if errors.Is(err, io.EOF) && !optional {
		return badRequest("cannot read the request: its body, which is to be JSON, is empty")
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("cannot read the request: its body is larger than %d bytes", tooLarge.Limit)}
	}
	return badRequest("cannot read the request: " + strings.TrimPrefix(err.Error(), "json: "))
}
