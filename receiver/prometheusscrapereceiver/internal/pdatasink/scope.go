package pdatasink

import (
	"encoding/binary"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// scope is an instrumentation scope of one resource. It has the labels of its first series;
// those with the scope prefix are equal in all of its series.
type scope struct {
	labels   labels.Labels
	plain    bool // its series have no scope labels
	families chain
}

func isScopeLabel(name string) bool {
	return strings.HasPrefix(name, prometheus.ScopeLabelPrefix)
}

// scopeOf returns the scope of a sample in a resource, and adds it if it is new.
func (t *transaction) scopeOf(s *sample, res int32) int32 {
	if !s.scoped {
		r := &t.resources[res]
		if r.plain == none {
			r.plain = t.scopes.add(&r.scopes, scope{plain: true})
		}
		return r.plain
	}
	t.key = scopeKey(t.key[:0], res, s.labels)
	i, known := t.scopeIDs[string(t.key)]
	if !known {
		i = t.scopes.add(&t.resources[res].scopes, scope{labels: s.labels})
		t.scopeIDs[string(t.key)] = i
	}
	return i
}

// scopeKey appends a key of the resource and the scope labels, which are sorted, to buf.
func scopeKey(buf []byte, res int32, ls labels.Labels) []byte {
	buf = binary.AppendUvarint(buf, uint64(res))
	ls.Range(func(l labels.Label) {
		if isScopeLabel(l.Name) {
			buf = binary.AppendUvarint(buf, uint64(len(l.Name)))
			buf = append(buf, l.Name...)
			buf = binary.AppendUvarint(buf, uint64(len(l.Value)))
			buf = append(buf, l.Value...)
		}
	})
	return buf
}

// fill sets the scope from its labels. The scope of metrics without scope labels is that of
// this receiver.
func (s *scope) fill(sm pmetric.ScopeMetrics, set *Settings) {
	if s.plain {
		sm.Scope().SetName(set.ScopeName)
		sm.Scope().SetVersion(set.Receiver.BuildInfo.Version)
		return
	}
	s.labels.Range(func(l labels.Label) {
		switch l.Name {
		case prometheus.ScopeNameLabelKey:
			sm.Scope().SetName(l.Value)
		case prometheus.ScopeVersionLabelKey:
			sm.Scope().SetVersion(l.Value)
		case prometheus.ScopeSchemaURLLabelKey:
			sm.SetSchemaUrl(l.Value)
		default:
			if name, ok := strings.CutPrefix(l.Name, prometheus.ScopeLabelPrefix); ok {
				sm.Scope().Attributes().PutStr(name, l.Value)
			}
		}
	})
}
