package reloadextension

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/invar-otel/invar/internal/reloading"
)

const path = "/-/reload"

// handler serves the extension's HTTP API.
func (e *reloadExtension) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, e.status)
	mux.HandleFunc("POST "+path, e.reload)
	// A web page in a browser on this host must not trigger a reload.
	h := http.NewCrossOriginProtection().Handler(mux)
	if e.cfg.AllowUnauthenticated || e.cfg.HTTP.Get().Auth.HasValue() {
		return h
	}
	return refuseForeignNames(h)
}

// refuseForeignNames refuses requests whose host is neither an address nor localhost.
// With DNS rebinding, the name of a web page resolves to this host, and its requests are
// not cross-origin.
func refuseForeignNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if host != "" && host != "localhost" && net.ParseIP(host) == nil {
			http.Error(w, fmt.Sprintf("Host: %q is not this endpoint; use its address or localhost", r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// reload answers when the outcome of the reload is known.
func (e *reloadExtension) reload(w http.ResponseWriter, r *http.Request) {
	if !e.begin() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "a reload is under way", http.StatusServiceUnavailable)
		return
	}
	defer e.end()
	result, err := e.controller.Reload(r.Context(), reloading.HTTP)
	switch {
	case err == nil:
		_, _ = fmt.Fprintln(w, result)
	case result == reloading.Rejected:
		http.Error(w, fmt.Sprintf("rejected, nothing was changed: %v", err), http.StatusBadRequest)
	case result == reloading.RolledBack:
		http.Error(w, fmt.Sprintf("rolled back: %v", err), http.StatusInternalServerError)
	case errors.Is(err, reloading.ErrEnding):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// statusBody is the answer to GET.
type statusBody struct {
	Generation   int         `json:"generation"`
	RunningSince *time.Time  `json:"running_since"`
	ConfigHash   string      `json:"config_hash"`
	ConfigFiles  []string    `json:"config_files"`
	LastReload   *reloadBody `json:"last_reload"`
}

type reloadBody struct {
	Time       time.Time `json:"time"`
	Trigger    string    `json:"trigger"`
	Result     string    `json:"result"`
	Error      string    `json:"error,omitempty"`
	ConfigHash string    `json:"config_hash,omitempty"`
}

func (e *reloadExtension) status(w http.ResponseWriter, _ *http.Request) {
	s := e.controller.Status()
	body := statusBody{Generation: s.Generation, ConfigHash: s.Hash, ConfigFiles: []string{}}
	if !s.RunningSince.IsZero() {
		body.RunningSince = &s.RunningSince
	}
	for _, f := range e.controller.ConfigFiles() {
		body.ConfigFiles = append(body.ConfigFiles, f.Path)
	}
	if a := s.LastAttempt; a != nil {
		body.LastReload = &reloadBody{Time: a.Time, Trigger: string(a.Trigger), Result: string(a.Result), ConfigHash: a.Hash}
		if a.Err != nil {
			body.LastReload.Error = a.Err.Error()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(body)
}
