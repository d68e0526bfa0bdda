// Package page is the status page: HTML, style and scripts that are part of the binary and need nothing from the net.
//
// It serves files and knows nothing of the process. The page asks the API beside it, see admin/api; all that the API says reaches
// the page as text, never as HTML, for names come from configs and logs.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var embedded embed.FS

// policy lets the page use what comes from its own address, and nothing else. The last part makes the browser refuse scripts that
// write HTML from strings (W3C Trusted Types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// file is a part of the page.
type file struct {
	content []byte
	kind    string // its media type
	etag    string
}

// files are the parts of the page by their path in the URL.
type files map[string]file

// Handler returns what serves the page at / and its parts beside it.
func Handler() http.Handler {
	all := files{}
	err := fs.WalkDir(embedded, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := embedded.ReadFile(name)
		all[strings.TrimPrefix(name, "static")] = newFile(name, content)
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("BUG: cannot read what is embedded: %v", err))
	}
	all["/"] = all["/index.html"]
	delete(all, "/index.html")
	return all
}

func newFile(name string, content []byte) file {
	sum := sha256.Sum256(content)
	return file{content: content, kind: kindOf(name), etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// kindOf is the media type of a file. The system's own table, which mime uses, may say anything.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}

// ServeHTTP answers with a part of the page.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "this path takes GET, HEAD", http.StatusMethodNotAllowed)
		return
	}
	found, ok := f[r.URL.Path]
	if !ok {
		http.Error(w, "there is nothing at this path", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", found.kind)
	h.Set("ETag", found.etag)
	h.Set("Cache-Control", "no-cache") // kept, but asked for again each time: the next l7 may have another page
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.content))
}
