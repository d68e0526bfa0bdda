package page_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/page"
)

func ask(method, path string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, r)
	return w
}

// parts are the files of the page by their path in the URL.
func parts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	root := os.DirFS("static")
	require.NoError(t, fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		all["/"+strings.TrimSuffix(name, "index.html")] = string(content)
		return err
	}))
	return all
}

func TestEveryPartIsServed(t *testing.T) {
	for path, content := range parts(t) {
		got := ask(http.MethodGet, path)
		assert.Equal(t, http.StatusOK, got.Code, path)
		assert.Equal(t, content, got.Body.String(), path)
		assert.NotEmpty(t, got.Header().Get("ETag"), path)
		assert.Equal(t, "no-cache", got.Header().Get("Cache-Control"), path)
	}
}

func TestMediaTypes(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		assert.Equal(t, want, ask(http.MethodGet, path).Header().Get("Content-Type"))
	}
	f("/", "text/html; charset=utf-8")
	f("/style.css", "text/css; charset=utf-8")
	f("/app.js", "text/javascript; charset=utf-8")
	f("/icon.svg", "image/svg+xml")
	f("/uplot/LICENSE", "text/plain; charset=utf-8")
}

// TestHeaders holds for what is refused as well.
func TestHeaders(t *testing.T) {
	f := func(method, path string, code int) {
		t.Helper()
		got := ask(method, path)
		assert.Equal(t, code, got.Code)
		assert.Equal(t, "nosniff", got.Header().Get("X-Content-Type-Options"))
		assert.Equal(t, "no-referrer", got.Header().Get("Referrer-Policy"))
		policy := got.Header().Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
			"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
		} {
			assert.Contains(t, strings.Split(policy, "; "), want)
		}
		assert.NotContains(t, policy, "unsafe")
	}
	f(http.MethodGet, "/", http.StatusOK)
	f(http.MethodHead, "/app.js", http.StatusOK)
	f(http.MethodGet, "/nothing", http.StatusNotFound)
	f(http.MethodGet, "/index.html", http.StatusNotFound)
	f(http.MethodGet, "/uplot/", http.StatusNotFound)
	f(http.MethodGet, "/../page.go", http.StatusNotFound)
	f(http.MethodPost, "/", http.StatusMethodNotAllowed)
	f(http.MethodOptions, "/app.js", http.StatusMethodNotAllowed)
}

func TestMethodsThatAreTaken(t *testing.T) {
	assert.Equal(t, "GET, HEAD", ask(http.MethodDelete, "/").Header().Get("Allow"))
	head := ask(http.MethodHead, "/")
	assert.Empty(t, head.Body.String())
	assert.NotEmpty(t, head.Header().Get("Content-Length"))
}

func TestWhatTheBrowserHasIsNotSentAgain(t *testing.T) {
	etag := ask(http.MethodGet, "/style.css").Header().Get("ETag")
	again := ask(http.MethodGet, "/style.css", "If-None-Match", etag)
	assert.Equal(t, http.StatusNotModified, again.Code)
	assert.Empty(t, again.Body.String())
	assert.Equal(t, http.StatusOK, ask(http.MethodGet, "/app.js", "If-None-Match", etag).Code)
}

// TestNothingFromTheNet finds addresses of other hosts. A licence may have one, and so may the comment that names the library;
// the name of SVG's language is none; example.com is for people to read.
func TestNothingFromTheNet(t *testing.T) {
	address := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z0-9.-]+`)
	banner := regexp.MustCompile(`(?s)^/\*!.*?\*/`)
	for path, content := range parts(t) {
		if strings.HasSuffix(path, "/LICENSE") {
			continue
		}
		for _, found := range address.FindAllString(banner.ReplaceAllString(content, ""), -1) {
			assert.Contains(t, []string{"http://www.w3.org", "http://example.com"}, found, path)
		}
	}
}

// TestDataNeverBecomesHTML finds what the policy would refuse in the browser.
func TestDataNeverBecomesHTML(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`)
	inline := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|javascript:|<style|<script>`)
	for path, content := range parts(t) {
		if strings.HasPrefix(path, "/uplot/") {
			continue
		}
		assert.NotRegexp(t, forbidden, content, path)
		if path == "/" {
			assert.NotRegexp(t, inline, content)
		}
	}
}
