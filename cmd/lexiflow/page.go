package main

import (
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

// assets are the page of raw events as it is served: no build step and nothing from elsewhere.
//
//go:embed page
var assets embed.FS

// contentTypes are fixed, because what the system's table says of .js differs between machines.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

// demoPages are the addresses at which the demo shows its pages; the browser tells them apart.
var demoPages = []string{"/{$}", "/case/{id}", "/messages", "/dashboard"}

// page serves what up shows: the demo where it was built, with the page of raw events at /events.html,
// and that page alone where it was not. app is nil without a build.
func page(d *demo, app fs.FS) http.Handler {
	mux := http.NewServeMux()
	d.routes(mux)
	events, err := fs.Sub(assets, "page")
	if err != nil {
		panic(err) // embedded: it is there or the program was not built
	}
	front := events
	serveAll(mux, events, "events.html")
	if app != nil {
		front = app
		serveAll(mux, app, "")
	}
	index, err := fs.ReadFile(front, "index.html")
	if err != nil {
		panic(err) // as above
	}
	for _, at := range demoPages {
		if app != nil || at == "/{$}" {
			mux.Handle("GET "+at, asset(index, contentTypes[".html"], "no-cache"))
		}
	}
	return secured(mux)
}

// serveAll serves the files of a folder under their own names, index.html under another.
func serveAll(mux *http.ServeMux, files fs.FS, index string) {
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		contentType := contentTypes[path.Ext(name)]
		if contentType == "" {
			return fmt.Errorf("%s has no content type", name)
		}
		cache := "no-cache"
		if strings.HasPrefix(name, "assets/") {
			cache = "public, max-age=31536000, immutable" // the build puts a hash of the content into the name
		}
		if name == "index.html" {
			if name = index; name == "" {
				return nil
			}
		}
		mux.Handle("GET /"+name, asset(data, contentType, cache))
		return nil
	})
	if err != nil {
		panic(err) // embedded files, which the tests have seen
	}
}

// asset serves one file. Its ETag is its content's hash, so a new version shows at once.
func asset(data []byte, contentType, cache string) http.Handler {
	sum := sha256.Sum256(data)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", cache)
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
	})
}

// secured puts the headers on every answer that keep a page to its own files and connections.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
