package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
)

// done is the body of the response to actions without a result.
var done = struct{}{}

func (a *server) status(_ *http.Request, user User) (any, error) {
	return viewStatus(a.Version, a.Fleet.Summary(), user), nil
}

func (a *server) audit(r *http.Request, _ User) (any, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	entries, err := a.Fleet.Audit(limit)
	return map[string]any{"entries": viewAll(entries, viewAuditEntry)}, err
}

func (a *server) collectors(r *http.Request, _ User) (any, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	filter := fleet.Filter{Status: query.Get("status"), After: query.Get("after"), Limit: limit}
	for _, match := range query["match"] {
		if match = strings.TrimSpace(match); match != "" {
			filter.Match = append(filter.Match, match)
		}
	}
	page, total, next, err := a.Fleet.Collectors(filter)
	return map[string]any{"collectors": viewAll(page, viewCollector), "total": total, "next": next}, err
}

// limitOf returns the parameter limit, 100 if it is missing, and at most 1,000.
func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 100, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 {
		return 0, fmt.Errorf("%w: limit: %q is not a number from 1 to 1000", fleet.ErrInvalid, text)
	}
	return min(limit, 1000), nil
}

func (a *server) collector(r *http.Request, _ User) (any, error) {
	c, err := a.Fleet.Collector(r.PathValue("id"))
	return viewCollector(c), err
}

func (a *server) forgetCollector(r *http.Request, user User) (any, error) {
	return done, a.Fleet.Forget(r.Context(), user.Name, r.PathValue("id"))
}

func (a *server) pipelines(*http.Request, User) (any, error) {
	return map[string]any{"pipelines": viewAll(a.Fleet.Pipelines(), viewPipeline)}, nil
}

func (a *server) pipeline(r *http.Request, _ User) (any, error) {
	p, err := a.Fleet.Pipeline(r.PathValue("name"))
	return tagged{viewPipeline(p), p.Tag}, err
}

func (a *server) revisions(r *http.Request, _ User) (any, error) {
	list, err := a.Fleet.Revisions(r.PathValue("name"))
	return map[string]any{"revisions": viewAll(list, viewRevision)}, err
}

func (a *server) publish(r *http.Request, user User) (any, error) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	name := r.PathValue("name")
	ifMatch := strings.Trim(strings.TrimPrefix(strings.TrimSpace(r.Header.Get("If-Match")), "W/"), `"`)
	if _, err := a.Fleet.Publish(r.Context(), user.Name, name, content, ifMatch); err != nil {
		return nil, err
	}
	return a.pipeline(r, user)
}

func (a *server) removePipeline(r *http.Request, user User) (any, error) {
	return done, a.Fleet.Remove(r.Context(), user.Name, r.PathValue("name"))
}

// actionBody has the arguments of all actions.
type actionBody struct {
	Revision uint64 `json:"revision"`
	For      string `json:"for"`
}

func (a *server) action(r *http.Request, user User) (any, error) {
	var body actionBody
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: the body is not what the action takes: %w", fleet.ErrInvalid, err)
	}
	var duration time.Duration
	if body.For != "" {
		var err error
		if duration, err = time.ParseDuration(body.For); err != nil || duration <= 0 {
			return nil, fmt.Errorf("%w: for: %q is not a duration; write it like 1h", fleet.ErrInvalid, body.For)
		}
	}
	ctx, name := r.Context(), r.PathValue("name")
	var err error
	switch action := r.PathValue("action"); action {
	case "pause":
		err = a.Fleet.Pause(ctx, user.Name, name)
	case "resume":
		err = a.Fleet.Resume(ctx, user.Name, name)
	case "promote":
		err = a.Fleet.Promote(ctx, user.Name, name)
	case "rollback":
		if body.Revision == 0 {
			return nil, fmt.Errorf("%w: revision: is missing; write {\"revision\": 3}", fleet.ErrInvalid)
		}
		err = a.Fleet.Rollback(ctx, user.Name, name, body.Revision)
	case "activate":
		err = a.Fleet.Activate(ctx, user.Name, name, duration)
	case "deactivate":
		err = a.Fleet.Deactivate(ctx, user.Name, name, duration)
	default:
		err = fmt.Errorf("action %q: %w; there are pause, resume, promote, rollback, activate and deactivate", action, fleet.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return a.pipeline(r, user)
}
