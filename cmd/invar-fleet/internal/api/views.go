package api

import (
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

// The types below are the JSON of the API. They are made from the fleet's snapshots
// and share their maps and slices, which nobody writes to.

type assignmentView struct {
	Name     string `json:"name"`
	Revision uint64 `json:"revision"`
}

type collectorView struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Transport  string            `json:"transport"`
	Address    string            `json:"address"`
	Attributes map[string]string `json:"attributes"`
	FirstSeen  time.Time         `json:"first_seen"`
	LastSeen   time.Time         `json:"last_seen"`
	Online     bool              `json:"online"`
	// Conflict means that two collectors use this id at the same time.
	Conflict    bool   `json:"conflict"`
	Status      string `json:"status"`
	Error       string `json:"error"`
	Hash        string `json:"hash"`
	OfferedHash string `json:"offered_hash"`
	// UpToDate means that the collector has received what it is offered, whatever
	// became of it.
	UpToDate  bool             `json:"up_to_date"`
	Healthy   *bool            `json:"healthy"`
	Health    string           `json:"health"`
	Pipelines []assignmentView `json:"pipelines"`
	// Effective and Components are set if one collector was asked for.
	Effective  map[string]string `json:"effective,omitempty"`
	Components []string          `json:"components,omitempty"`
}

func viewCollector(c fleet.Collector) collectorView {
	r := &c.Record
	v := collectorView{
		ID: r.ID, Name: r.Name, Version: r.Version, Transport: r.Transport, Address: r.Address,
		Attributes: r.Attributes, FirstSeen: r.FirstSeen, LastSeen: r.LastSeen,
		Online: c.Online, Conflict: c.Conflict,
		Status: r.Status.String(), Error: r.Error, Hash: r.Hash,
		OfferedHash: c.OfferedHash, UpToDate: r.Hash == c.OfferedHash,
		Healthy: r.Healthy, Health: r.HealthText,
		Pipelines: viewAll(c.Pipelines, func(a fleet.Assignment) assignmentView { return assignmentView(a) }),
		Effective: c.Details.Effective, Components: c.Details.Components,
	}
	if v.Attributes == nil {
		v.Attributes = map[string]string{}
	}
	return v
}

// viewAll returns the views of a list. It does not return nil, which would be null in
// JSON.
func viewAll[T, V any](list []T, view func(T) V) []V {
	views := make([]V, len(list))
	for i, item := range list {
		views[i] = view(item)
	}
	return views
}

// orEmpty returns list, or an empty one for nil, which would be null in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type pipelineView struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"` // in the file
	// Active means that collectors get the pipeline where its matchers match. One of
	// the times is when that ends, if it was forced for a time.
	Active         bool            `json:"active"`
	ActiveUntil    *time.Time      `json:"active_until"`
	InactiveUntil  *time.Time      `json:"inactive_until"`
	Matchers       []string        `json:"matchers"`
	Replaces       []string        `json:"replaces"`
	StableRevision uint64          `json:"stable_revision"`
	Error          string          `json:"error"` // of the file
	Rollout        rolloutView     `json:"rollout"`
	Collectors     pipelineUseView `json:"collectors"`
	// Content is that of the file when it was read last. It is set if one pipeline
	// was asked for.
	Content string `json:"content,omitempty"`
}

type rolloutView struct {
	Revision uint64        `json:"revision"`
	Stages   []int         `json:"stages"` // percent
	Stage    int           `json:"stage"`  // index in Stages
	Percent  int           `json:"percent"`
	State    rollout.State `json:"state"`
	Reason   string        `json:"reason"`
	Since    *time.Time    `json:"since"`
	Wait     string        `json:"wait"` // a duration, between stages
}

// pipelineUseView counts online collectors: those that the matchers match, and those
// that are offered the pipeline by what they report about it.
type pipelineUseView struct {
	Matching int `json:"matching"`
	Applied  int `json:"applied"`
	Applying int `json:"applying"`
	Failed   int `json:"failed"`
	Pending  int `json:"pending"`
}

func viewPipeline(p fleet.Pipeline) pipelineView {
	v := pipelineView{
		Name: p.Name, Enabled: p.Enabled, Active: p.Active,
		Matchers: orEmpty(p.Matchers), Replaces: orEmpty(p.Replaces),
		StableRevision: p.StableRevision, Error: p.Error, Rollout: viewRollout(&p),
		Collectors: pipelineUseView{
			Matching: p.Collectors.Matching,
			Applied:  p.Collectors.Offered.Applied, Applying: p.Collectors.Offered.Applying,
			Failed: p.Collectors.Offered.Failed, Pending: p.Collectors.Offered.Pending,
		},
		Content: p.Content,
	}
	if p.Forced != nil {
		if p.Forced.Active {
			v.ActiveUntil = orNull(p.Forced.Until)
		} else {
			v.InactiveUntil = orNull(p.Forced.Until)
		}
	}
	return v
}

func viewRollout(p *fleet.Pipeline) rolloutView {
	r := &p.Rollout
	v := rolloutView{
		Revision: r.Revision, Stages: []int{}, Stage: r.Stage, Percent: p.Percent,
		State: r.State, Reason: r.Reason, Since: orNull(r.Since),
	}
	if p.Plan != nil {
		v.Stages, v.Wait = p.Plan.Stages, p.Plan.Wait.String()
	}
	return v
}

// orNull returns nil for a zero time, which is null in JSON.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type revisionView struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Content  string    `json:"content"`
}

func viewRevision(r store.Revision) revisionView {
	return revisionView{Revision: r.Number, Time: r.Time, Actor: r.Actor, Content: r.Content}
}

type auditView struct {
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Object  string    `json:"object"`
	Details string    `json:"details"`
}

func viewAuditEntry(e store.AuditEntry) auditView { return auditView(e) }

type statusView struct {
	Version    string             `json:"version"`
	Collectors collectorCountView `json:"collectors"`
	Pipelines  int                `json:"pipelines"`
	// Error is what is wrong with the folder or the state file, or "".
	Error string `json:"error"`
	User  string `json:"user"`
	Role  Role   `json:"role"`
}

type collectorCountView struct {
	Total   int `json:"total"`
	Online  int `json:"online"`
	Applied int `json:"applied"` // of the online collectors, as the next two
	Failed  int `json:"failed"`
	Pending int `json:"pending"` // not up to date, or applying
}

func viewStatus(version string, s fleet.Summary, u User) statusView {
	v := statusView{
		Version: version, Pipelines: s.Pipelines, User: u.Name, Role: u.Role,
		Collectors: collectorCountView{Total: s.Collectors, Online: s.Online, Applied: s.Applied, Failed: s.Failed, Pending: s.Pending},
	}
	if err := s.Err(); err != nil {
		v.Error = err.Error()
	}
	return v
}
