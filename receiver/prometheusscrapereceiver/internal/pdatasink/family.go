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
	created   bool // it has _created samples
	metadata  scrape.MetricMetadata
	points    chain
}

// familyKey holds the type and native because a target may expose a histogram
// in classic and in native form, both under one name, and because an
// exposition may declare the type of a metric after its first sample.
type familyKey struct {
	scope  int32
	mtype  pmetric.MetricType
	native bool
	name   string
}

// sampleName is the __name__ of a series and all else that decides about its
// family.
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
	roleValue    role = iota // all of it
	roleBoundary             // a bucket or a quantile
	roleSum
	roleCount
	roleCreated
	// roleExact is for floats that carry the very name of a histogram or a
	// summary. See (*family).exactRole.
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

// partSuffixes are what the parts of a metric may add to its name.
var partSuffixes = []string{
	bucketSuffix, countSuffix, sumSuffix, totalSuffix, infoSuffix, createdSuffix, gaugeCountSuffix, gaugeSumSuffix,
}

// familyOf finds the family of a sample in a scope, or begins it.
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

// resolve decides which metric the samples of a name belong to, and as what.
func resolve(store scrape.MetricMetadataStore, name string, k kind) (family, role) {
	if k.native() {
		// The sample is a histogram, whatever its metadata says, and whole.
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

// partOf tells to which metric a sample named base+suffix belongs when base was
// declared with a type. Types that have no such part own no such sample: a
// foo_count beside a gauge foo is a metric of its own.
func partOf(mt model.MetricType, base, suffix string) (metric string, _ role, ok bool) {
	switch mt {
	case model.MetricTypeHistogram, model.MetricTypeSummary:
		return base, suffixRole(suffix), true
	case model.MetricTypeGaugeHistogram:
		// The buckets are values of a gauge, told apart by le. The rest are
		// metrics of their own.
		switch suffix {
		case bucketSuffix:
			return base, roleValue, true
		case gaugeCountSuffix, gaugeSumSuffix:
			return base + suffix, roleValue, true
		}
	case model.MetricTypeCounter:
		// OpenMetrics declares counters without _total, and we name them with
		// it.
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

// exactRole is the role of a sample that is named as its histogram or summary.
// With le or quantile it is a boundary, even of a summary called batch_count.
// Some exporters declare foo_count itself as a summary: that is a count.
func (f *family) exactRole(s *sample) role {
	if s.labels.Has(f.boundaryLabel()) {
		return roleBoundary
	}
	_, suffix := cutSuffix(s.name)
	return suffixRole(suffix)
}

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
		// Unknown ones might be counters, but are not known to only rise.
		f.mtype = pmetric.MetricTypeGauge
	}
	return f
}

// boundaryLabel names the label that is part of a sample's meaning and not of
// its point's attributes.
func (f *family) boundaryLabel() string {
	switch f.mtype {
	case pmetric.MetricTypeHistogram, pmetric.MetricTypeExponentialHistogram:
		return model.BucketLabel
	case pmetric.MetricTypeSummary:
		return model.QuantileLabel
	}
	return ""
}

// reportMetadata describes what Prometheus appends to each scrape about
// itself. It is no part of the exposition, so that the store doesn't know it.
var reportMetadata = map[string]scrape.MetricMetadata{
	upMetric:                                {MetricFamily: upMetric, Type: model.MetricTypeGauge, Help: "The scraping was successful"},
	"scrape_duration_seconds":               {MetricFamily: "scrape_duration_seconds", Type: model.MetricTypeGauge, Unit: "seconds", Help: "Duration of the scrape"},
	"scrape_samples_scraped":                {MetricFamily: "scrape_samples_scraped", Type: model.MetricTypeGauge, Help: "The number of samples the target exposed"},
	"scrape_samples_post_metric_relabeling": {MetricFamily: "scrape_samples_post_metric_relabeling", Type: model.MetricTypeGauge, Help: "The number of samples remaining after metric relabeling was applied"},
	"scrape_series_added":                   {MetricFamily: "scrape_series_added", Type: model.MetricTypeGauge, Help: "The approximate number of new series in this scrape"},
}
