package admin

import (
	"bytes"
	"io"
	"net/http"

	"l7/admin/api"
)

// maxDrain bounds DrainRequest.For, which is seconds: ten years.
const maxDrain = 10 * 365 * 24 * 3600

func (s *Server) status(http.ResponseWriter, *http.Request) (any, error) {
	return s.process.Status(), nil
}

func (s *Server) config(http.ResponseWriter, *http.Request) (any, error) {
	// A reload in between would give one config the number of another; a third time in a row there is none.
	for range 3 {
		var yaml bytes.Buffer
		generation := s.process.Generation()
		if err := s.process.WriteConfig(&yaml); err != nil {
			return nil, &refusal{http.StatusInternalServerError, "cannot write the config: " + err.Error()}
		}
		if s.process.Generation() == generation {
			return api.Config{Generation: generation, YAML: yaml.String()}, nil
		}
	}
	return nil, &refusal{http.StatusServiceUnavailable, "cannot write the config: it is being reloaded again and again"}
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := decode(w, r, &struct{}{}, true); err != nil {
		return nil, err
	}
	return s.process.Reload(), nil
}

func (s *Server) diff(w http.ResponseWriter, r *http.Request) (any, error) {
	var question api.DiffRequest
	if err := decode(w, r, &question, false); err != nil {
		return nil, err
	}
	if question.File == "" {
		return nil, badRequest("file is missing: the path of a config, as the running process sees it")
	}
	return s.process.Diff(question.File), nil
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.setDrained(w, r, true)
}

func (s *Server) undrain(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.setDrained(w, r, false)
}

func (s *Server) setDrained(w http.ResponseWriter, r *http.Request, drained bool) (any, error) {
	var question api.DrainRequest
	if err := decode(w, r, &question, false); err != nil {
		return nil, err
	}
	switch {
	case question.Server == "":
		return nil, badRequest("server is missing: the address of a server")
	case question.For < 0 || question.For > maxDrain:
		return nil, badRequest("for_seconds is not between 0 and ten years")
	}
	return s.process.Drain(question, drained)
}

func (s *Server) history(_ http.ResponseWriter, r *http.Request) (any, error) {
	query := r.URL.Query()
	if query.Get("server") == "" {
		return nil, badRequest("server is missing: ?server=ADDRESS")
	}
	list, err := s.process.History(query.Get("backend"), query.Get("server"))
	return orEmpty(list), err
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) (any, error) {
	var question api.ExplainRequest
	if err := decode(w, r, &question, false); err != nil {
		return nil, err
	}
	if question.URL == "" {
		return nil, badRequest("url is missing: where the request would go, as in http://example.com/")
	}
	return s.process.Explain(question)
}

// healthz is 200 as long as there is somebody to say it.
func (s *Server) healthz(_ *door, w http.ResponseWriter, _ *http.Request) {
	answerText(w, http.StatusOK, "ok")
}

func (s *Server) readyz(_ *door, w http.ResponseWriter, _ *http.Request) {
	if err := s.process.Ready(); err != nil {
		answerText(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answerText(w, http.StatusOK, "ok")
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // who asked has gone
}

// orEmpty makes the list that JSON has for no list.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
