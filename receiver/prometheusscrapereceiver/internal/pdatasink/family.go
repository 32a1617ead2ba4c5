package pdatasink

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/scrape"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// family becomes one metric.
type family struct {
	familyKey
	monotonic bool
	created   bool // has _created samples
	metadata  scrape.MetricMetadata
	points    chain
}

// familyKey identifies a family. It includes mtype and native because a target may expose
// a histogram in classic and native form under one name, and because an exposition may
// declare the type of a metric after its first sample.
type familyKey struct {
	scope  int32
	mtype  pmetric.MetricType
	native bool
	name   string
}

// sampleName determines the family of a series.
type sampleName struct {
	scope int32
	kind  kind
	name  string
}

type familyRef struct {
	family int32
	role   role
}

// role is what a sample contributes to its point.
type role uint8

const (
	roleValue    role = iota // the whole point
	roleBoundary             // a bucket or a quantile
	roleSum
	roleCount
	roleCreated
	// roleExact is a float with exactly the name of a histogram or summary. exactRole
	// returns its actual role.
	roleExact
)

const (
	upMetric = "up"

	bucketSuffix  = "_bucket"
	countSuffix   = "_count"
	sumSuffix     = "_sum"
	totalSuffix   = "_total"
	infoSuffix    = "_info"
	createdSuffix = "_created"

	gaugeCountSuffix = "_gcount"
	gaugeSumSuffix   = "_gsum"
)

// partSuffixes lists the suffixes that parts of a metric may append to its name.
var partSuffixes = []string{
	bucketSuffix, countSuffix, sumSuffix, totalSuffix, infoSuffix, createdSuffix, gaugeCountSuffix, gaugeSumSuffix,
}

// familyOf returns the family of a sample in a scope, and adds it if it is new.
func (t *transaction) familyOf(s *sample, sc int32) familyRef {
	name := sampleName{scope: sc, kind: s.kind, name: s.name}
	if name == t.lastName {
		return t.lastFamily
	}
	ref, known := t.names[name]
	if !known {
		f, r := resolve(t.metadata, s.name, s.kind)
		f.scope = sc
		i, known := t.familyIDs[f.familyKey]
		if !known {
			i = t.families.add(&t.scopes.at(sc).families, f)
			t.familyIDs[f.familyKey] = i
		}
		ref = familyRef{family: i, role: r}
		t.names[name] = ref
	}
	t.lastName, t.lastFamily = name, ref
	return ref
}

// resolve returns the metric that samples with this name belong to, and their role.
func resolve(store scrape.MetricMetadataStore, name string, k kind) (family, role) {
	if k.native() {
		// The sample is a whole histogram, whatever its metadata says.
		md, ok := store.GetMetadata(name)
		if !ok {
			md.MetricFamily = name
		}
		if md.Type != model.MetricTypeGaugeHistogram {
			md.Type = model.MetricTypeHistogram
		}
		f := newFamily(name, md)
		f.native = true
		if k == kindExponential {
			f.mtype = pmetric.MetricTypeExponentialHistogram
		}
		return f, roleValue
	}
	if md, ok := reportMetadata[name]; ok {
		return newFamily(name, md), roleValue
	}
	if md, ok := store.GetMetadata(name); ok {
		if md.Type == model.MetricTypeHistogram || md.Type == model.MetricTypeSummary {
			return newFamily(name, md), roleExact
		}
		return newFamily(name, md), roleValue
	}
	if base, suffix := cutSuffix(name); suffix != "" {
		if md, ok := store.GetMetadata(base); ok {
			if of, r, ok := partOf(md.Type, base, suffix); ok {
				return newFamily(of, md), r
			}
		}
	}
	return newFamily(name, scrape.MetricMetadata{MetricFamily: name, Type: model.MetricTypeUnknown}), roleValue
}

// partOf returns the metric and the role of a sample named base+suffix, where base was
// declared with a type. ok is false if that type has no such part: foo_count besides a
// gauge foo is a metric of its own.
func partOf(mt model.MetricType, base, suffix string) (metric string, _ role, ok bool) {
	switch mt {
	case model.MetricTypeHistogram, model.MetricTypeSummary:
		return base, suffixRole(suffix), true
	case model.MetricTypeGaugeHistogram:
		// The buckets are values of a gauge with the attribute le. The other parts are
		// metrics of their own.
		switch suffix {
		case bucketSuffix:
			return base, roleValue, true
		case gaugeCountSuffix, gaugeSumSuffix:
			return base + suffix, roleValue, true
		}
	case model.MetricTypeCounter:
		// OpenMetrics declares counters without _total; the metric's name includes it.
		if suffix == createdSuffix {
			return base + totalSuffix, roleCreated, true
		}
		return base + suffix, roleValue, true
	case model.MetricTypeInfo:
		return base, roleValue, suffix == infoSuffix
	}
	return "", roleValue, false
}

func suffixRole(suffix string) role {
	switch suffix {
	case sumSuffix:
		return roleSum
	case countSuffix:
		return roleCount
	case createdSuffix:
		return roleCreated
	}
	return roleBoundary
}

// exactRole returns the role of a sample with exactly the name of its histogram or summary.
// With le or quantile it is a boundary, even in a summary called batch_count. Some exporters
// declare foo_count itself as a summary; that sample is a count.
func (f *family) exactRole(s *sample) role {
	if s.labels.Has(f.boundaryLabel()) {
		return roleBoundary
	}
	_, suffix := cutSuffix(s.name)
	return suffixRole(suffix)
}

// cutSuffix splits a name before the suffix of a part, which is "" if there is none.
func cutSuffix(name string) (base, suffix string) {
	for _, suffix := range partSuffixes {
		if base, ok := strings.CutSuffix(name, suffix); ok && base != "" {
			return base, suffix
		}
	}
	return name, ""
}

func newFamily(name string, md scrape.MetricMetadata) family {
	f := family{familyKey: familyKey{name: name}, metadata: md}
	switch md.Type {
	case model.MetricTypeCounter:
		f.mtype, f.monotonic = pmetric.MetricTypeSum, true
	case model.MetricTypeInfo, model.MetricTypeStateset:
		f.mtype = pmetric.MetricTypeSum
	case model.MetricTypeHistogram:
		f.mtype = pmetric.MetricTypeHistogram
	case model.MetricTypeSummary:
		f.mtype = pmetric.MetricTypeSummary
	default:
		// Metrics of unknown type may be counters, but that is not certain.
		f.mtype = pmetric.MetricTypeGauge
	}
	return f
}

// boundaryLabel returns the label that holds a sample's boundary and is not an attribute of
// its point.
func (f *family) boundaryLabel() string {
	switch f.mtype {
	case pmetric.MetricTypeHistogram, pmetric.MetricTypeExponentialHistogram:
		return model.BucketLabel
	case pmetric.MetricTypeSummary:
		return model.QuantileLabel
	}
	return ""
}

// reportMetadata is the metadata of the series that Prometheus appends to each scrape. They
// are not part of the exposition, so the metadata store does not have them.
var reportMetadata = map[string]scrape.MetricMetadata{
	upMetric:                                {MetricFamily: upMetric, Type: model.MetricTypeGauge, Help: "The scraping was successful"},
	"scrape_duration_seconds":               {MetricFamily: "scrape_duration_seconds", Type: model.MetricTypeGauge, Unit: "seconds", Help: "Duration of the scrape"},
	"scrape_samples_scraped":                {MetricFamily: "scrape_samples_scraped", Type: model.MetricTypeGauge, Help: "The number of samples the target exposed"},
	"scrape_samples_post_metric_relabeling": {MetricFamily: "scrape_samples_post_metric_relabeling", Type: model.MetricTypeGauge, Help: "The number of samples remaining after metric relabeling was applied"},
	"scrape_series_added":                   {MetricFamily: "scrape_series_added", Type: model.MetricTypeGauge, Help: "The approximate number of new series in this scrape"},
}
