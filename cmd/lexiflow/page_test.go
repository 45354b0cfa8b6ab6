package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

var localDemo = demo{token: "the-token", program: "lexiflow", secret: "a-secret-of-at-least-32-characters", natsURL: "nats://127.0.0.1:4222", local: true}

func get(d *demo, path string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:3000"+path, http.NoBody)
	for name, value := range header {
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	page(d, nil).ServeHTTP(w, r)
	return w
}

func TestPageHeaders(t *testing.T) {
	for path, contentType := range map[string]string{
		"/":            "text/html; charset=utf-8",
		"/app.js":      "text/javascript; charset=utf-8",
		"/style.css":   "text/css; charset=utf-8",
		"/favicon.svg": "image/svg+xml",
		"/events.html": "text/html; charset=utf-8",
		"/demo.json":   "application/json; charset=utf-8",
		"/nothing":     "text/plain; charset=utf-8",
	} {
		t.Run(path, func(t *testing.T) {
			response := get(&localDemo, path, nil)
			h := response.Header()
			if h.Get("Content-Type") != contentType {
				t.Errorf("type %q, want %q", h.Get("Content-Type"), contentType)
			}
			policy := h.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("policy %q has no %s", policy, want)
				}
			}
			if strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("headers %v", h)
			}
			if h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("another site may read it")
			}
			if want := path == "/nothing"; (response.Code == http.StatusNotFound) != want {
				t.Errorf("status %d", response.Code)
			}
		})
	}
}

func TestPageIsRevalidated(t *testing.T) {
	first := get(&localDemo, "/app.js", nil)
	second := get(&localDemo, "/app.js", map[string]string{"If-None-Match": first.Header().Get("ETag")})
	if first.Header().Get("Cache-Control") != "no-cache" || second.Code != http.StatusNotModified {
		t.Errorf("%v, then %d", first.Header(), second.Code)
	}
}

// With a build of the demo it is what / and its pages show, and the raw events keep an address. Files whose
// names have a hash may be kept for ever.
func TestPageWithDemo(t *testing.T) {
	app := fstest.MapFS{
		"index.html":           {Data: []byte(`<div id="root"></div>`)},
		"assets/index-a1b2.js": {Data: []byte("run()")},
	}
	for path, want := range map[string]struct{ body, cache string }{
		"/":                     {"root", "no-cache"},
		"/case/a%40b?user=ben":  {"root", "no-cache"},
		"/messages":             {"root", "no-cache"},
		"/dashboard":            {"root", "no-cache"},
		"/assets/index-a1b2.js": {"run()", "public, max-age=31536000, immutable"},
		"/events.html":          {"Socket.IO client", "no-cache"},
		"/app.js":               {"socket", "no-cache"},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:3000"+path, http.NoBody)
		w := httptest.NewRecorder()
		page(&localDemo, app).ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want.body) || w.Header().Get("Cache-Control") != want.cache {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
		if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || !strings.Contains(policy, "script-src 'self'") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
	if w := get(&localDemo, "/messages", nil); w.Code != http.StatusNotFound {
		t.Errorf("without the demo /messages is %d", w.Code)
	}
}

// The token goes to a page of this machine alone.
func TestDemoToken(t *testing.T) {
	public, noToken := localDemo, localDemo
	public.local, noToken.token = false, ""
	for name, c := range map[string]struct {
		demo   *demo
		header map[string]string
		want   bool
	}{
		"loopback":               {&localDemo, nil, true},
		"localhost":              {&localDemo, map[string]string{"Host": "localhost:3000"}, true},
		"IPv6":                   {&localDemo, map[string]string{"Host": "[::1]:3000"}, true},
		"without port":           {&localDemo, map[string]string{"Host": "127.0.0.1"}, true},
		"the page's own fetch":   {&localDemo, map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		"a name that rebinds":    {&localDemo, map[string]string{"Host": "evil.example:3000"}, false},
		"a name that looks like": {&localDemo, map[string]string{"Host": "localhost.evil.example"}, false},
		"another address":        {&localDemo, map[string]string{"Host": "192.0.2.1:3000"}, false},
		"its own origin":         {&localDemo, map[string]string{"Origin": "http://127.0.0.1:3000"}, true},
		"another origin":         {&localDemo, map[string]string{"Origin": "http://evil.example"}, false},
		"another site":           {&localDemo, map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		"another port":           {&localDemo, map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		"through a proxy":        {&localDemo, map[string]string{"X-Forwarded-For": "192.0.2.1"}, false},
		"a public listener":      {&public, nil, false},
		"no token to give":       {&noToken, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			response := get(c.demo, "/demo.json", c.header)
			var body struct{ Token string }
			_ = json.NewDecoder(response.Body).Decode(&body) // a refusal is no JSON
			if got := body.Token == "the-token"; got != c.want || (response.Code == http.StatusOK) != c.want {
				t.Errorf("status %d, token given: %v, want %v", response.Code, got, c.want)
			}
		})
	}
}

// The page needs nothing from elsewhere and no inline code, which its policy would refuse.
func TestPageIsSelfContained(t *testing.T) {
	files, err := assets.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := regexp.MustCompile(`(src|href)="(https?:)?//|url\(|@import|from "https?:`)
	inline := regexp.MustCompile(`<script>|<style>|\son[a-z]+="|\sstyle="|innerHTML|\beval\(`)
	for _, file := range files {
		data, err := assets.ReadFile("page/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []*regexp.Regexp{elsewhere, inline} {
			if found := bad.Find(data); found != nil {
				t.Errorf("%s has %q", file.Name(), found)
			}
		}
		if contentTypes["."+file.Name()[strings.LastIndex(file.Name(), ".")+1:]] == "" {
			t.Errorf("%s has no content type", file.Name())
		}
	}
	html, err := assets.ReadFile("page/index.html")
	if err != nil {
		t.Fatal(err)
	}
	js, err := assets.ReadFile("page/app.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range regexp.MustCompile(`\$\("([a-z-]+)"\)`).FindAllSubmatch(js, -1) {
		if !strings.Contains(string(html), `id="`+string(id[1])+`"`) {
			t.Errorf("app.js looks for #%s, which index.html does not have", id[1])
		}
	}
}
