package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"
)

// assets are the page as it is served: no build step and nothing from elsewhere.
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

// page serves the page of up: / with its files, and /demo.json.
func page(d *demo) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo.json", d.serve)
	files, err := fs.ReadDir(assets, "page")
	if err != nil {
		panic(err) // embedded: it is there or the program was not built
	}
	for _, file := range files {
		name := file.Name()
		data, err := assets.ReadFile("page/" + name)
		if err != nil {
			panic(err) // as above
		}
		at := "GET /" + name
		if name == "index.html" {
			at = "GET /{$}"
		}
		mux.Handle(at, asset(data, contentTypes[path.Ext(name)]))
	}
	return secured(mux)
}

// asset serves one file. Its ETag is its content's hash, so a new version shows at once.
func asset(data []byte, contentType string) http.Handler {
	sum := sha256.Sum256(data)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
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

// serve gives the page its token, on this machine alone: the listener is loopback, so nobody else
// reaches it; the Host is, so a name that was pointed here by its owner gets nothing (DNS rebinding);
// no proxy says that it passes on what somebody else asks; and the browser does not say that another
// site does.
func (d *demo) serve(w http.ResponseWriter, r *http.Request) {
	proxied := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != ""
	site := r.Header.Get("Sec-Fetch-Site")
	foreign := site != "" && site != "same-origin" && site != "none"
	if !d.local || d.token == "" || proxied || foreign || !loopbackHost(r.Host) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{ // the client is gone
		"token": d.token, "user": demoUser, "program": d.program, "nats": d.natsURL,
	})
}

// loopbackHost reports whether a Host header names this machine.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
