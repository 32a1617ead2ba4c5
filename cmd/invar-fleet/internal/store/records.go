package store

import (
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// Collector is what is saved of a collector.
type Collector struct {
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"`
	Version    string            `json:"version,omitempty"`
	Transport  string            `json:"transport"`
	Address    string            `json:"address"`
	Attributes map[string]string `json:"attributes,omitempty"`
	FirstSeen  time.Time         `json:"first_seen"`
	LastSeen   time.Time         `json:"last_seen"`
	Hash       string            `json:"hash,omitempty"`
	Status     remoteconf.Status `json:"status"`
	Error      string            `json:"error,omitempty"`
	Healthy    *bool             `json:"healthy,omitempty"`
	HealthText string            `json:"health,omitempty"`
	// Gone is set when the collector unregistered.
	Gone bool `json:"gone,omitempty"`
	// Token is the name of the token that it used last.
	Token string `json:"token,omitempty"`
}

// Details are the large parts of what a collector reports. They are kept in the
// file only.
type Details struct {
	// Effective is what the collector runs, as YAML by name.
	Effective map[string]string
	// Components are the components in its binary, as kind/type.
	Components []string
}

// Pipeline is what is saved of a pipeline besides its revisions.
type Pipeline struct {
	// Stable is the revision for all collectors that a rollout does not give the
	// candidate to; 0 if there is none yet.
	Stable uint64 `json:"stable"`
	// Last is the latest revision's number. Numbers are not used twice, because
	// collectors report about them.
	Last    uint64          `json:"last"`
	Rollout rollout.Rollout `json:"rollout"`
	Forced  *Override       `json:"forced,omitempty"`
	// FileTag identifies the content of the file that was read or written last.
	FileTag string `json:"file_tag"`
	// RemovedAt is set while there is no file.
	RemovedAt time.Time `json:"removed_at,omitzero"`
}

// Override makes a pipeline active or inactive whatever its file says.
type Override struct {
	Active bool `json:"active"`
	// Until is when the override ends; zero if it has no end.
	Until time.Time `json:"until,omitzero"`
}

// Revision is one content of a pipeline's file.
type Revision struct {
	Number  uint64    `json:"revision"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Content string    `json:"content"`
}

// AuditEntry is one line of the audit log.
type AuditEntry struct {
	Time time.Time `json:"time"`
	// Actor is the name of a token, "file" for changes in the folder, or
	// "invar-fleet" for what the server did on its own.
	Actor  string `json:"actor"`
	Action string `json:"action"`
	// Object is a pipeline's name or a collector's id.
	Object  string `json:"object"`
	Details string `json:"details"`
}
