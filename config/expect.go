package config

import (
	"errors"
	"net/url"
	"strings"
)

// Target reads the request: its method, which is GET where none is given, and its URL. The errors show nothing
// of either, for there may be a password in it.
func (e Expect) Target() (method string, target *url.URL, err error) {
	method, text, found := strings.Cut(e.Request, " ")
	if !found {
		method, text = "GET", e.Request
	}
	target, err = url.Parse(text)
	switch {
	case !isToken(method) || text == "" || strings.ContainsFunc(text, isSpaceOrControl):
		err = errors.New("want a method and a URL, as in GET https://example.com/api/x, or a URL alone")
	case err != nil:
		err = errors.New("the URL cannot be read; want one as in https://example.com/api/x")
	case target.User != nil:
		err = errors.New("a request comes without credentials; remove what stands before the '@'")
	case target.Scheme != "http" && target.Scheme != "https" || target.Hostname() == "":
		err = errors.New("want a URL with scheme and host, as in https://example.com/api/x")
	}
	if err != nil {
		return "", nil, err
	}
	return method, target, nil
}
