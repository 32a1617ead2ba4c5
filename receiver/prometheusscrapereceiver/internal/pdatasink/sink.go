// Package pdatasink turns what a Prometheus scrape manager scrapes into
// pipeline data: one pmetric.Metrics for each scrape.
//
//	scrape loop of one target                     Sink (shared, immutable)
//	  │  AppenderV2(ctx) ──────────────────────────▶ │ new transaction,
//	  │                                              │ workspace from the pool
//	  │  Append(labels, value) ─▶ transaction ◀──────┘
//	  │    resource   job, instance ─▶ resource.go
//	  │    scope      otel_scope_*  ─▶ scope.go
//	  │    family     name, metadata ─▶ family.go
//	  │    point      the other labels ─▶ point.go    kept in the workspace
//	  │
//	  │  Commit ─▶ points ─▶ pmetric.Metrics ─▶ Settings.Next
//	  │  Rollback, or after Commit: the workspace returns to the pool
//
// The point, not the sample, is the unit of work, because a classic histogram
// or a summary arrives as one sample per bucket or quantile, with its sum and
// its count as two more. Nothing is translated before Commit knows how many
// points each metric has.
//
// A sample that cannot be translated is left out and counted. Append returns
// an error only where Prometheus itself refuses the whole scrape.
package pdatasink

import (
	"context"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
)

// Settings is what a Sink needs. All fields but ExternalLabels and
// TrimMetricSuffixes are required.
type Settings struct {
	Next consumer.Metrics
	// ExternalLabels are added to each series that does not have them.
	ExternalLabels labels.Labels
	// TrimMetricSuffixes takes the type and the unit off metric names.
	TrimMetricSuffixes bool
	Receiver           receiver.Settings
	// ScopeName is the scope of metrics without otel_scope_* labels. The scope's
	// version is that of the build.
	ScopeName string
	ObsReport *receiverhelper.ObsReport
}

// Sink is the storage of a scrape.Manager that runs with AppendMetadata and
// PassMetadataInContext. Its appenders are used by one goroutine each; the
// Sink itself by all of them.
type Sink struct {
	Settings
	reporter   *reporter
	workspaces sync.Pool // of *workspace
}

var _ storage.AppendableV2 = (*Sink)(nil)

// New returns a Sink.
func New(set Settings) (*Sink, error) {
	reporter, err := newReporter(&set)
	if err != nil {
		return nil, err
	}
	return &Sink{Settings: set, reporter: reporter, workspaces: sync.Pool{New: func() any { return newWorkspace() }}}, nil
}

// AppenderV2 begins the transaction of one scrape. ctx is the one that the
// scrape manager made for the target, and reaches Settings.Next.
func (s *Sink) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &transaction{sink: s, ctx: ctx, workspace: s.workspaces.Get().(*workspace), lastResource: none}
}
