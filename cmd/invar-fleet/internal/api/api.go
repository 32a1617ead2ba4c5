// Package api serves a fleet over HTTP: the JSON API and the Connect service for
// collectors, and next to them the web page and OpAMP. The README of invar-fleet
// describes the API.
package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/opampserver"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
	"github.com/invar-otel/invar/internal/sockets"
)

// maxBody is the size limit of an action's body, in bytes. A pipeline's file may have
// fleet.MaxContent.
const maxBody = 64 << 10

// Settings configure a handler. Fleet and Logger are required.
type Settings struct {
	Fleet *fleet.Fleet
	// Tokens say who may do what. If they are nil, everybody may do everything: that
	// is for listeners on loopback. Requests must name a loopback host then, because
	// a web page could reach the server under a host name of its own.
	Tokens *Tokens
	// Page serves what does not belong to the API, OpAMP the agents.
	Page, OpAMP http.Handler
	Version     string
	Logger      *zap.Logger
}

type server struct {
	Settings
	durations *prometheus.HistogramVec
}

// New returns the handler of the server.
func New(s Settings) http.Handler {
	a := &server{Settings: s, durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "invar_fleet_http_request_duration_seconds",
		Help:    "How long requests took, by route.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"route", "code"})}
	mux := http.NewServeMux()
	handle := func(role Role, pattern string, h http.Handler) {
		mux.Handle(pattern, promhttp.InstrumentHandlerDuration(a.durations.MustCurryWith(prometheus.Labels{"route": pattern}), a.authorize(role, h)))
	}
	view := func(pattern string, f apiFunc) { handle(Viewer, pattern, a.answer(f)) }
	act := func(pattern string, f apiFunc) { handle(Admin, pattern, a.answer(f)) }

	view("GET /api/v1/status", a.status)
	view("GET /api/v1/audit", a.audit)
	view("GET /api/v1/collectors", a.collectors)
	view("GET /api/v1/collectors/{id}", a.collector)
	act("DELETE /api/v1/collectors/{id}", a.forgetCollector)
	view("GET /api/v1/pipelines", a.pipelines)
	view("GET /api/v1/pipelines/{name}", a.pipeline)
	view("GET /api/v1/pipelines/{name}/revisions", a.revisions)
	act("PUT /api/v1/pipelines/{name}", a.publish)
	act("DELETE /api/v1/pipelines/{name}", a.removePipeline)
	act("POST /api/v1/pipelines/{name}/{action}", a.action)
	view("/api/", func(*http.Request, User) (any, error) { return nil, fmt.Errorf("no such path: %w", fleet.ErrNotFound) })

	connectHandler := newConnectHandler(s.Fleet)
	for _, path := range []string{collectorv1.RegisterCollectorProcedure, collectorv1.UnregisterCollectorProcedure, collectorv1.GetConfigProcedure} {
		handle(Collector, path, connectHandler)
	}
	if s.OpAMP != nil {
		mux.Handle(opampserver.Path, a.authorize(Collector, s.OpAMP))
	}
	registry := a.newRegistry()
	mux.Handle("GET /metrics", a.authorize(Viewer, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "healthy\n") })
	mux.HandleFunc("GET /-/ready", a.ready)
	if s.Page != nil {
		mux.Handle("/", s.Page)
	}
	return a.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard sets the headers of all responses, and refuses foreign hosts.
func (a *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		if a.Tokens == nil && !namesThisHost(r.Host) {
			writeError(w, http.StatusForbidden, fmt.Errorf("host %q: without --token-file the server answers to localhost only", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// namesThisHost reports whether a Host header names this host.
func namesThisHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return sockets.IsLoopback(trimBrackets(host))
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// authorize permits requests of users with this role, and of admins.
func (a *server) authorize(role Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if role == Collector && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "") {
			writeError(w, http.StatusForbidden, errors.New("this is for collectors, not for web pages"))
			return
		}
		user, ok := a.Tokens.identify(r, role == Collector)
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="invar-fleet"`)
			writeError(w, http.StatusUnauthorized, errors.New("a valid token is needed: Authorization: Bearer <token>"))
			return
		}
		if user.Role != role && user.Role != Admin {
			writeError(w, http.StatusForbidden, fmt.Errorf("the token of %s has the role %s; this needs %s", user.Name, user.Role, role))
			return
		}
		next.ServeHTTP(w, r.WithContext(fleet.WithToken(withUser(r.Context(), user), user.Name)))
	})
}

// apiFunc handles a request of the API. The result is the body, which is sent as
// JSON.
type apiFunc func(*http.Request, User) (any, error)

// tagged is a body with an ETag.
type tagged struct {
	body any
	tag  string
}

func (a *server) answer(f apiFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := int64(maxBody)
		if r.Method == http.MethodPut {
			limit = fleet.MaxContent
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		body, err := f(r, userOf(r.Context()))
		if err != nil {
			status := statusOf(err)
			if status == http.StatusInternalServerError {
				a.Logger.Error("Request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
			}
			writeError(w, status, err)
			return
		}
		if t, ok := body.(tagged); ok {
			w.Header().Set("ETag", `"`+t.tag+`"`)
			body = t.body
		}
		writeJSON(w, http.StatusOK, body)
	})
}

func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, fleet.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, fleet.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, fleet.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, fleet.ErrChanged):
		return http.StatusPreconditionFailed
	}
	return http.StatusInternalServerError
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		_, _ = fmt.Fprintf(&b, "{\"error\":%q}\n", err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func (a *server) ready(w http.ResponseWriter, _ *http.Request) {
	s := a.Fleet.Summary()
	if err := s.Err(); err != nil {
		writeError(w, http.StatusServiceUnavailable, err)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}
