// Package pdatasink converts the samples of a Prometheus scrape manager to pdata, one
// pmetric.Metrics for each scrape.
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
// The unit of work is the point, not the sample: a classic histogram or a summary
// consists of one sample per bucket or quantile, its sum and its count. Points are
// translated in Commit, when their number is known for each metric.
//
// A sample that cannot be translated is dropped and counted. Append returns an error only
// where Prometheus would fail the scrape as well.
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

// Settings configures a Sink. ExternalLabels and TrimMetricSuffixes are optional.
type Settings struct {
	Next consumer.Metrics
	// ExternalLabels are added to series that do not have them.
	ExternalLabels labels.Labels
	// TrimMetricSuffixes removes the suffixes for type and unit from metric names.
	TrimMetricSuffixes bool
	Receiver           receiver.Settings
	// ScopeName is the scope of metrics without otel_scope_* labels. The scope's
	// version is that of the build.
	ScopeName string
	ObsReport *receiverhelper.ObsReport
}

// Sink is the storage of a scrape.Manager with PassMetadataInContext. It is safe for
// concurrent use; each of its appenders must be used by one goroutine only.
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

// AppenderV2 starts the transaction of one scrape. ctx must be the scrape manager's context
// for the target. It is passed on to Settings.Next.
func (s *Sink) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &transaction{sink: s, ctx: ctx, workspace: s.workspaces.Get().(*workspace), lastResource: none}
}
