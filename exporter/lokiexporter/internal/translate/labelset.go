package translate

import (
	"slices"
	"strings"

	"github.com/grafana/loki/pkg/push"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// labelSet collects the labels of a stream.
type labelSet struct {
	rules *Rules
	pairs []lokiapi.Label
	index map[string]int // into pairs, if there are many
	// overflow has the labels that Limit did not admit.
	overflow []push.LabelAdapter
}

func (s *labelSet) reset() {
	s.pairs, s.overflow = s.pairs[:0], nil
	clear(s.index)
}

func (s *labelSet) find(name string) int {
	if len(s.pairs) <= manyPairs {
		return slices.IndexFunc(s.pairs, func(l lokiapi.Label) bool { return l.Name == name })
	}
	if len(s.index) == 0 {
		if s.index == nil {
			s.index = make(map[string]int, 2*len(s.pairs))
		}
		for i := range s.pairs {
			s.index[s.pairs[i].Name] = i
		}
	}
	if i, ok := s.index[name]; ok {
		return i
	}
	return -1
}

// put sets a label, unless it is dropped or the value is empty. If Limit does not
// admit the value, put adds the label to overflow instead.
func (s *labelSet) put(name, value string, unlimited bool) {
	if value == "" || s.rules.dropped[name] {
		return
	}
	i := s.find(name)
	if i < 0 {
		if n := len(s.pairs); s.append(name, value, unlimited) && len(s.index) > 0 {
			s.index[name] = n
		}
		return
	}
	if s.admit(name, value, unlimited) {
		s.pairs[i].Value = value
	}
}

// append is put for a label that is neither in the set nor dropped and has a value.
// It reports whether the label is in the set now.
func (s *labelSet) append(name, value string, unlimited bool) bool {
	if !s.admit(name, value, unlimited) {
		return false
	}
	s.pairs = append(s.pairs, lokiapi.Label{Name: name, Value: value})
	return true
}

func (s *labelSet) admit(name, value string, unlimited bool) bool {
	if l := s.rules.Limit; unlimited || l == nil || !l.Drop || l.admit(name, value) {
		return true
	}
	s.overflow = append(s.overflow, push.LabelAdapter{Name: name, Value: value})
	return false
}

// sorted sorts the labels by name and returns them.
func (s *labelSet) sorted() []lokiapi.Label {
	slices.SortFunc(s.pairs, func(a, b lokiapi.Label) int { return strings.Compare(a.Name, b.Name) })
	return s.pairs
}
