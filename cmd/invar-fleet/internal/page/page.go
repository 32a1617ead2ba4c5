// Package page is the fleet server's web page: hand-written HTML, CSS and
// JavaScript modules, embedded and served as they are.
//
//	browser ──GET /──▶ Handler ──▶ index.html, assets/*
//	   │
//	   └─ /api/v1/* with "Authorization: Bearer …" ──▶ internal/api
//
// All data of the page comes from the JSON API, with the token that the user signs in
// with. The page itself is served without a token and contains no data. Texts from
// collectors and pipelines become text nodes only. The browser enforces that: the
// policy below permits no script but the page's own files, no request to another
// server, and, by trusted types, no markup made from strings.
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
	"time"
)

// The files of the page. Nothing generates them.
//
//go:embed assets
var assets embed.FS

const securityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// mediaTypes are the types of the files, independent of the host's own table.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

type file struct {
	body      []byte
	mediaType string
	tag       string
}

// Handler returns a handler for the page at "/" and its files below "/assets/".
// It answers GET and HEAD, and 404 to other paths, and is safe for concurrent use.
func Handler() http.Handler {
	files, err := load(assets)
	if err != nil { // impossible: the files are part of the binary, see the test
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, files) })
}

// load returns the files below the folder assets by URL path.
func load(source fs.FS) (map[string]file, error) {
	files := map[string]file{}
	err := fs.WalkDir(source, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		mediaType, known := mediaTypes[path.Ext(name)]
		if !known {
			return fmt.Errorf("%s: no media type is known for %q", name, path.Ext(name))
		}
		sum := sha256.Sum256(body)
		f := file{body: body, mediaType: mediaType, tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
		if name == "assets/index.html" {
			files["/"] = f
			return nil
		}
		files["/"+name] = f
		return nil
	})
	return files, err
}

func serve(w http.ResponseWriter, r *http.Request, files map[string]file) {
	header := w.Header()
	header.Set("Content-Security-Policy", securityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	f, found := files[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the page takes GET and HEAD only", http.StatusMethodNotAllowed)
		return
	}
	header.Set("Content-Type", f.mediaType)
	// The browser revalidates each file, so it cannot mix files of two versions after
	// an update of the server.
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", f.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
