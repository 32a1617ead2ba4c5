package translate

import (
	"errors"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/invar-otel/invar/internal/promlane"
)

// Resource attributes that become job and instance.
const (
	serviceName      = "service.name"
	serviceNamespace = "service.namespace"
	serviceInstance  = "service.instance.id"
)

const (
	scopePrefix    = "otel_scope_"
	scopeName      = "otel_scope_name"
	scopeVersion   = "otel_scope_version"
	scopeSchemaURL = "otel_scope_schema_url"
)

// commonLabels are those of the resource and the scope, sorted by name.
type commonLabels struct {
	list  []commonLabel
	ready bool
}

type commonLabel struct {
	labels.Label
	precedence
}

// precedence decides between a common label and an attribute of the point with
// the same name.
type precedence uint8

const (
	wins       precedence = iota // over any attribute
	losesToAny                   // to any attribute, even an empty one
	loses                        // to an attribute that is not empty
)

func (c *commonLabels) reset() {
	clear(c.list)
	c.list, c.ready = c.list[:0], false
}

// maxCommon bounds the labels that each point gets from its resource and scope.
// Without it, a small request could ask for the product of many labels and many
// points.
const maxCommon = 1024

// set adds a label or replaces its value. It returns false if there are too many.
func (c *commonLabels) set(name, value string, p precedence) bool {
	if value == "" {
		return true
	}
	if len(c.list) == maxCommon {
		return false
	}
	c.list = append(c.list, commonLabel{labels.Label{Name: name, Value: value}, p})
	return true
}

// sort sorts the labels after they are set. Of labels with the same name, the last
// one is kept.
func (c *commonLabels) sort() {
	slices.SortStableFunc(c.list, func(a, b commonLabel) int { return strings.Compare(a.Name, b.Name) })
	kept := c.list[:0]
	for i, l := range c.list {
		if i+1 == len(c.list) || c.list[i+1].Name != l.Name {
			kept = append(kept, l)
		}
	}
	c.list, c.ready = kept, true
}

// beginResource starts a resource.
func (w *worker) beginResource(attributes pcommon.Map) {
	w.attributes = attributes
	for i := range w.resource {
		w.resource[i].reset()
	}
}

// prepareCommon sets the labels that all points of a scope share.
func (w *worker) prepareCommon(kind int, sm pmetric.ScopeMetrics) {
	c, resource := &w.common[kind], &w.resource[kind]
	if !resource.ready {
		w.resourceLabels(kind)
	}
	c.list = append(c.list[:0], resource.list...)
	if kind == ofScrape {
		if !promlane.IsScrapeScope(sm.Scope().Name()) {
			w.scopeLabels(c, sm, func(attribute string) (string, error) { return scopePrefix + valid(attribute), nil })
		}
	} else if w.set.PromoteScope {
		w.scopeLabels(c, sm, func(attribute string) (string, error) { return w.labelName(scopePrefix + attribute) })
	}
	c.sort()
}

// resourceLabels sets the labels of the resource.
func (w *worker) resourceLabels(kind int) {
	c := &w.resource[kind]
	over := wins
	if kind == ofScrape {
		over = losesToAny // the series may have been exposed without them
	}
	if w.set.PromoteAll || len(w.promoted) > 0 {
		for name, v := range w.attributes.All() {
			if w.promoted[name] == w.set.PromoteAll {
				continue
			}
			if err := w.setCommon(c, name, v, w.labelName, loses); err != nil {
				w.lose(InvalidResourceAttribute, 1, err.Error())
			}
		}
	}
	job, instance := w.identity(kind)
	c.list = slices.DeleteFunc(c.list, func(l commonLabel) bool {
		return l.Name == model.JobLabel && job != "" || l.Name == model.InstanceLabel && instance != ""
	})
	if job != "" {
		c.list = append(c.list, commonLabel{labels.Label{Name: model.JobLabel, Value: job}, over})
	}
	if instance != "" {
		c.list = append(c.list, commonLabel{labels.Label{Name: model.InstanceLabel, Value: instance}, over})
	}
	c.sort()
}

var errTooMany = errors.New("there are more than 1024 labels of the resource and the scope")

// setCommon turns an attribute into a label.
func (w *worker) setCommon(c *commonLabels, name string, v pcommon.Value, nameOf func(string) (string, error), p precedence) error {
	if name == "" {
		return errUnnamed
	}
	label, err := nameOf(name)
	if err != nil {
		return err
	}
	value, err := text(v)
	if err != nil {
		return err
	}
	if !c.set(label, value, p) {
		return errTooMany
	}
	return nil
}

// identity returns job and instance. A scraped job stays as it is, even if a
// processor has added a namespace to the resource.
func (w *worker) identity(kind int) (job, instance string) {
	get := func(name string) (string, bool) {
		v, ok := w.attributes.Get(name)
		if !ok {
			return "", false
		}
		value, err := text(v)
		return value, err == nil
	}
	job, ok := get(serviceName)
	if ns, has := get(serviceNamespace); ok && has && kind == ofOTLP {
		job = ns + "/" + job
	}
	instance, _ = get(serviceInstance)
	return job, instance
}

// scopeLabels sets labels that distinguish scopes: two may have metrics of the
// same name.
func (w *worker) scopeLabels(c *commonLabels, sm pmetric.ScopeMetrics, nameOf func(string) (string, error)) {
	scope := sm.Scope()
	for name, v := range scope.Attributes().All() {
		if err := w.setCommon(c, name, v, nameOf, wins); err != nil {
			w.lose(InvalidScopeAttribute, 1, err.Error())
		}
	}
	for _, l := range []labels.Label{
		{Name: scopeName, Value: valid(scope.Name())},
		{Name: scopeVersion, Value: valid(scope.Version())},
		{Name: scopeSchemaURL, Value: valid(sm.SchemaUrl())},
	} {
		if l.Value != "" {
			c.list = append(c.list, commonLabel{l, wins})
		}
	}
}

// setLabels sets the labels of a point, and leaves room for the name and the
// boundary label, whose name is boundary, or empty if there is none. It returns
// false if an attribute cannot be a label; the point is then lost.
func (w *worker) setLabels(attributes pcommon.Map, boundary string) bool {
	if !w.setAttributes(attributes, boundary) {
		return false
	}
	kind := ofOTLP
	if w.metric.scraped {
		kind = ofScrape
	}
	w.mergeCommon(w.common[kind].list)
	w.nameAt = w.makeRoom(model.MetricNameLabel)
	w.bound = -1
	if boundary != "" {
		w.bound = w.makeRoom(boundary) // after __name__, whose index stays
	}
	return true
}

// setAttributes sets the labels of the point's attributes, sorted.
func (w *worker) setAttributes(attributes pcommon.Map, boundary string) bool {
	w.pairs = w.pairs[:0]
	for name, v := range attributes.All() {
		if name == "" {
			w.lose(InvalidAttribute, 1, errUnnamed.Error())
			return false
		}
		if name == model.MetricNameLabel {
			continue
		}
		value, err := text(v)
		if err != nil {
			w.lose(InvalidAttribute, 1, err.Error())
			return false
		}
		w.pairs = append(w.pairs, labels.Label{Name: name, Value: value})
	}
	sortPairs(w.pairs)
	distinct := true // and in order
	for i := range w.pairs {
		name := w.pairs[i].Name
		if w.metric.scraped || !w.escape {
			name = valid(name)
		} else {
			var err error
			if name, err = w.labelName(name); err != nil {
				w.lose(InvalidAttribute, 1, err.Error())
				return false
			}
		}
		w.pairs[i].Name = name
		distinct = distinct && (i == 0 || w.pairs[i-1].Name < name)
	}
	if !distinct {
		w.join() // in the order of the attributes' names
	}
	if boundary != "" {
		w.moveAside(boundary)
	}
	return true
}

func sortPairs(pairs []labels.Label) {
	byName := func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(pairs, byName) {
		slices.SortStableFunc(pairs, byName)
	}
}

// join sorts the pairs again and merges those with the same name.
func (w *worker) join() {
	sortPairs(w.pairs)
	kept := w.pairs[:0]
	for i, n := 0, len(w.pairs); i < n; {
		p, end := w.pairs[i], i+1
		for end < n && w.pairs[end].Name == p.Name {
			end++
		}
		if end > i+1 {
			p.Value = joinValues(w.pairs[i:end])
		}
		kept = append(kept, p)
		i = end
	}
	w.pairs = kept
}

func joinValues(pairs []labels.Label) string {
	var b strings.Builder
	for _, p := range pairs {
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(p.Value)
	}
	return b.String()
}

// moveAside renames an attribute that has the name of the boundary label, as
// Prometheus does with the labels that a target exposes.
func (w *worker) moveAside(boundary string) {
	i, found := w.find(boundary)
	if !found {
		return
	}
	v := w.pairs[i].Value
	w.pairs = slices.Delete(w.pairs, i, i+1)
	name := "exported_" + boundary
	for i, found = w.find(name); found; i, found = w.find(name) {
		name = "exported_" + name
	}
	w.pairs = slices.Insert(w.pairs, i, labels.Label{Name: name, Value: v})
}

func (w *worker) find(name string) (int, bool) {
	return slices.BinarySearchFunc(w.pairs, name, func(p labels.Label, name string) int { return strings.Compare(p.Name, name) })
}

// mergeCommon merges the labels of the resource and the scope into the pairs.
func (w *worker) mergeCommon(common []commonLabel) {
	if len(common) == 0 {
		return
	}
	merged, own := w.spare[:0], w.pairs
	for i := range common {
		c := &common[i]
		for len(own) > 0 && own[0].Name < c.Name {
			merged, own = append(merged, own[0]), own[1:]
		}
		l := c.Label
		if len(own) > 0 && own[0].Name == c.Name {
			if c.precedence == losesToAny || c.precedence == loses && own[0].Value != "" {
				l = own[0]
			}
			own = own[1:]
		}
		merged = append(merged, l)
	}
	merged = append(merged, own...)
	w.pairs, w.spare = merged, w.pairs
}

// makeRoom returns the index of a label whose value is set for each sample.
func (w *worker) makeRoom(name string) int {
	i, found := w.find(name)
	if !found {
		w.pairs = slices.Insert(w.pairs, i, labels.Label{Name: name})
	}
	return i
}

// append appends a sample of the point. boundary is the value of the boundary
// label; if it is empty, the series has no such label.
func (w *worker) append(p *point, name, boundary string, v float64) {
	w.appendSample(p, name, boundary, v, nil)
}

func (w *worker) appendSample(p *point, name, boundary string, v float64, h *nativeHistogram) {
	w.pairs[w.nameAt].Value = name
	if w.bound >= 0 {
		w.pairs[w.bound].Value = boundary
	}
	w.build()
	opts := w.metric.opts
	opts.Exemplars = p.exemplars
	opts.RejectOutOfOrder = p.stale // the series may be alive again
	p.accepted = w.send(p.start, p.at, v, h, opts) || p.accepted
}

// build sets w.labels to the pairs that have a value.
func (w *worker) build() {
	w.builder.Reset()
	for i := range w.pairs {
		if w.pairs[i].Value != "" {
			w.builder.Add(w.pairs[i].Name, w.pairs[i].Value)
		}
	}
	w.builder.Overwrite(&w.labels)
}

// send appends a sample of w.labels. It reports whether the sample was accepted.
func (w *worker) send(st, t int64, v float64, h *nativeHistogram, opts storage.AOptions) bool {
	_, err := w.app.Append(0, w.labels, st, t, v, h, nil, opts)
	if err != nil {
		w.lose(Refused, 1, err.Error())
	}
	return err == nil
}
