package translate

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

const (
	targetInfoName = "target_info"
	// targetInfoInterval is half of PromQL's lookback: joins with a batch that
	// spans more time need several samples of target_info.
	targetInfoInterval = 150_000 // ms
	// maxTargetInfo bounds these samples for a resource and request, to about an
	// hour. Two points decades apart would need millions.
	maxTargetInfo = 24
)

// targetInfo is the series that describes a resource.
type targetInfo struct {
	labels labels.Labels
	times  []int64 // ms
}

// describeResource notes the target_info series of the current resource, for the
// times of its points.
func (w *worker) describeResource() {
	if !w.set.TargetInfo || w.to < w.from {
		return
	}
	w.metric = metric{}
	if !w.setInfoLabels() {
		return
	}
	w.build()
	t := w.infoOf(w.labels)
	if w.scraped {
		t.times = append(t.times, w.to)
		return
	}
	at := w.from
	if steps := (w.to - w.from) / targetInfoInterval; steps > maxTargetInfo {
		at += (steps - maxTargetInfo) * targetInfoInterval
	}
	for ; at < w.to; at += targetInfoInterval {
		t.times = append(t.times, at)
	}
	t.times = append(t.times, w.to)
}

// infoOf returns the series with these labels, and creates it if need be. Two
// resources may share one.
func (w *worker) infoOf(ls labels.Labels) *targetInfo {
	hash := ls.Hash()
	if i, ok := w.infoIDs[hash]; ok && labels.Equal(w.info[i].labels, ls) {
		return &w.info[i]
	}
	if w.infoIDs == nil {
		w.infoIDs = make(map[uint64]int)
	}
	w.infoIDs[hash] = len(w.info)
	w.info = append(w.info, targetInfo{labels: ls.Copy()})
	return &w.info[len(w.info)-1]
}

// setInfoLabels sets the labels of the series. It returns false if the resource
// has no attribute to describe it, or neither job nor instance.
func (w *worker) setInfoLabels() bool {
	kind, nameOf := ofOTLP, w.labelName
	if w.scraped {
		kind, nameOf = ofScrape, w.scrapedInfoName
	}
	job, instance := w.identity(kind)
	w.pairs = w.pairs[:0]
	hasDescription := false
	for name, v := range w.attributes.All() {
		identifying := name == serviceName || name == serviceNamespace || name == serviceInstance
		if w.scraped && receiverAttributes[name] || identifying && !w.set.KeepIdentifying || name == model.MetricNameLabel {
			continue
		}
		value, err := text(v)
		if err != nil {
			w.loseInfo(err)
			continue
		}
		hasDescription = hasDescription || !identifying
		w.pairs = append(w.pairs, labels.Label{Name: name, Value: value})
	}
	if !hasDescription {
		return false
	}
	sortPairs(w.pairs)
	kept := w.pairs[:0]
	for _, p := range w.pairs {
		if w.escape || p.Name == "" || w.scraped {
			name, err := nameOf(p.Name)
			if err != nil {
				w.loseInfo(err)
				continue
			}
			p.Name = name
		} else {
			p.Name = valid(p.Name)
		}
		kept = append(kept, p)
	}
	w.pairs = kept
	w.join()
	var identity commonLabels
	identity.set(model.JobLabel, job, wins)
	identity.set(model.InstanceLabel, instance, wins)
	identity.sort()
	w.mergeCommon(identity.list)
	if !w.hasValue(model.JobLabel) && !w.hasValue(model.InstanceLabel) {
		return false
	}
	w.nameAt = w.makeRoom(model.MetricNameLabel)
	w.pairs[w.nameAt].Value = w.infoName()
	return true
}

// loseInfo counts an attribute as dropped, unless resourceLabels has counted it.
func (w *worker) loseInfo(err error) {
	if !w.set.PromoteAll {
		w.lose(InvalidResourceAttribute, 1, err.Error())
	}
}

func (w *worker) hasValue(name string) bool {
	i, found := w.find(name)
	return found && w.pairs[i].Value != ""
}

func (w *worker) infoName() string {
	if w.set.Namespace != "" && !w.scraped {
		return w.set.Namespace + "_" + targetInfoName
	}
	return targetInfoName
}

// appendTargetInfo appends the target_info samples of all resources. Each series
// is in order of time, although the resources of a request need not be.
func (w *worker) appendTargetInfo() {
	w.metric = metric{}
	w.app.BeginMetric(false)
	for i := range w.info {
		t := &w.info[i]
		slices.Sort(t.times)
		name := t.labels.Get(model.MetricNameLabel)
		for _, at := range slices.Compact(t.times) {
			_, err := w.app.Append(0, t.labels, 0, at, 1, nil, nil, storage.AOptions{
				MetricFamilyName: name,
				Metadata:         metadata.Metadata{Type: model.MetricTypeGauge, Help: "Target metadata"},
				RejectOutOfOrder: true, // another request may have sent a later one
			})
			if err != nil {
				w.lose(Refused, 1, err.Error())
			}
		}
	}
}
