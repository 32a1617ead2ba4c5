package translate

import (
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/invar-otel/invar/internal/promlane"
)

// Scraped metrics keep the names and labels that the target exposed, even where
// the translation would choose others. What pdata expresses differently is
// converted back:
//
//	resource   service.name, service.instance.id   job, instance
//	scope      other than the receiver             otel_scope_* labels
//	metadata   type info                           NAME_info
//	           type gaugehistogram, label le       NAME_bucket
//	           created, and a start timestamp      a series NAME_created
//	           histogram: nhcb                     native, with custom buckets
//	point      attribute job or instance           that label, none if it is empty
//	           without a recorded value            a staleness marker for each series

// beginScraped prepares for the points of a scraped metric. It returns false if
// the metric has no name.
func (w *worker) beginScraped() bool {
	m := &w.metric
	if m.name == "" {
		w.lose(InvalidName, pointsOf(m.Metric), errNoName.Error())
		return false
	}
	declared := m.name
	typ := w.typeOf(m.Metric)
	for key, v := range m.Metadata().All() {
		switch key {
		case prometheus.MetricMetadataTypeKey:
			typ = model.MetricType(v.Str())
		case promlane.MetadataFamily:
			declared = v.Str()
		case promlane.MetadataCreated:
			m.created = true
		case promlane.MetadataHistogram:
			m.nhcb = v.Str() == promlane.HistogramNHCB
		}
	}
	if m.delta {
		typ = model.MetricTypeUnknown // a processor changed the temporality
	}
	key := familyKey{name: m.name, unit: m.Unit(), scraped: true}
	if typ == model.MetricTypeInfo && !strings.HasSuffix(m.name, infoSuffix) {
		key.name += infoSuffix
	}
	f, ok := w.families[key]
	if !ok {
		f = w.remember(key, newFamily(valid(key.name), scrapedUnit(m.Unit())))
	}
	m.family = f
	md := metadata.Metadata{Type: typ, Unit: f.unit, Help: valid(m.Description())}
	if md == (metadata.Metadata{Type: model.MetricTypeUnknown}) {
		return true // nothing was declared
	}
	m.opts = storage.AOptions{MetricFamilyName: valid(declared), Metadata: md}
	return true
}

// scrapedUnit returns Prometheus' name of a unit of OpenTelemetry.
func scrapedUnit(unit string) string {
	if unit == "1" {
		return "ratio"
	}
	namer := otlptranslator.UnitNamer{UTF8Allowed: true}
	return namer.Build(valid(unit))
}

// gaugeHistogram reports whether the metric was exposed as a gauge histogram,
// which pdata does not have.
func (m *metric) gaugeHistogram() bool {
	return m.scraped && m.opts.Metadata.Type == model.MetricTypeGaugeHistogram
}

// nameOf returns the name of the series of a number.
func (m *metric) nameOf(attributes pcommon.Map) string {
	if m.gaugeHistogram() && m.Type() == pmetric.MetricTypeGauge {
		if _, ok := attributes.Get(model.BucketLabel); ok {
			return m.bucket
		}
	}
	return m.family.name
}

// appendCreated appends the sample of a _created series, if there is one. Such a
// series belongs to no family.
func (w *worker) appendCreated(p *point) {
	if p.created == 0 {
		return
	}
	w.pairs[w.nameAt].Value = strings.TrimSuffix(w.metric.family.name, totalSuffix) + createdSuffix
	if w.bound >= 0 {
		w.pairs[w.bound].Value = ""
	}
	w.build()
	whole, fraction := p.created/1e9, p.created%1e9
	w.send(0, p.at, p.or(float64(whole)+float64(fraction)/1e9), nil, storage.AOptions{RejectOutOfOrder: p.stale})
}

// receiverAttributes are the resource attributes that a scraping receiver sets
// itself. Others come from a target_info series of the target, or from a
// processor.
var receiverAttributes = map[string]bool{
	serviceName:            true,
	serviceNamespace:       true,
	serviceInstance:        true,
	"server.address":       true,
	"server.port":          true,
	"url.scheme":           true,
	"k8s.namespace.name":   true,
	"k8s.pod.name":         true,
	"k8s.pod.uid":          true,
	"k8s.container.name":   true,
	"k8s.node.name":        true,
	"k8s.cronjob.name":     true,
	"k8s.daemonset.name":   true,
	"k8s.job.name":         true,
	"k8s.replicaset.name":  true,
	"k8s.statefulset.name": true,
	// Before contrib v0.105:
	"net.host.name": true,
	"net.host.port": true,
	"http.scheme":   true,
}

// scrapedInfoName returns the name of a label of target_info. Valid label names are
// kept, since a target may have exposed them; others are translated.
func (w *worker) scrapedInfoName(attribute string) (string, error) {
	if isLabelName(attribute) {
		return attribute, nil
	}
	return w.labelName(attribute)
}
