package edge

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes are the public listener's paths beside Socket.IO.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.addHealth(mux)
	if !s.options.OpsElsewhere {
		s.addMetrics(mux)
	}
	if s.options.HTTP != nil {
		mux.Handle("/", s.options.HTTP)
	}
	return mux
}

// Ops serves the same on a listener of its own: /metrics, /livez, /readyz and the two reports.
func (s *Server) Ops() http.Handler {
	mux := http.NewServeMux()
	s.addHealth(mux)
	s.addMetrics(mux)
	return mux
}

func (s *Server) addMetrics(mux *http.ServeMux) {
	// The metrics do not exist yet while New wires the engine.
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		promhttp.HandlerFor(s.options.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}

func (s *Server) addHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/realtime/health", func(w http.ResponseWriter, _ *http.Request) {
		report := s.healthReport(time.Now())
		status := http.StatusOK
		if report.Status == critical {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, report)
	})
	mux.HandleFunc("GET /api/realtime/metrics", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.metricsReport(time.Now()))
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", s.ready)
}

// ready is true when a client that comes now is served at once.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if reason := s.unavailable(); reason != "" {
		writeText(w, http.StatusServiceUnavailable, reason)
		return
	}
	if _, err := s.reader.lag(ctx); err != nil {
		writeText(w, http.StatusServiceUnavailable, "the log does not answer: "+strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	if s.options.Ready != nil {
		if err := s.options.Ready(); err != nil {
			writeText(w, http.StatusServiceUnavailable, strings.ReplaceAll(err.Error(), "\n", " "))
			return
		}
	}
	writeText(w, http.StatusOK, "ok")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(mustJSON(v)) // the client is gone
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client is gone
}
