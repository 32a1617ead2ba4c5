package pprofconv

import (
	"reflect"

	"github.com/google/pprof/profile"
)

// Sizes of what Batch makes of a profile, in bytes, with the entries of the maps
// that find it again. A test measures that they are enough.
const (
	costNewProfile    = 200 // and its sample type
	costNewText       = 80  // and the text
	costNewMapping    = 360 // and its build ID
	costNewFunction   = 90
	costNewLocation   = 130
	costNewLine       = 40
	costNewSample     = 130 // of one sample type
	costNewStack      = 120
	costNewFrame      = 16
	costNewAttribute  = 260 // one that no sample had before
	costNewList       = 200
	costNewListValue  = 64
	costNewReference  = 4 // to an attribute, of one sample and sample type
	costProfileHeader = 2048
)

// costOf is about the most memory that converting p takes, in bytes.
func costOf(p *profile.Profile) int64 {
	texts := texts{}
	cost := int64(costProfileHeader)
	for _, t := range p.SampleType {
		cost += costNewProfile + texts.cost(t.Type) + texts.cost(t.Unit)
	}
	for _, m := range p.Mapping {
		cost += costNewMapping + texts.cost(m.File) + texts.cost(m.BuildID)
	}
	file := ""
	for _, f := range p.Function {
		cost += costNewFunction + texts.cost(f.Name)
		if keyOf(f.SystemName) != keyOf(f.Name) {
			cost += texts.cost(f.SystemName)
		}
		if keyOf(f.Filename) != keyOf(file) { // functions of a file are often side by side
			file = f.Filename
			cost += texts.cost(file)
		}
	}
	for _, l := range p.Location {
		cost += costNewLocation + costNewLine*int64(len(l.Line))
	}
	for _, comment := range p.Comments {
		cost += costNewListValue + int64(len(comment))
	}
	labels := map[uintptr]struct{}{}
	for _, s := range p.Sample {
		values := int64(0)
		for _, v := range s.Value {
			if v != 0 {
				values++
			}
		}
		count := int64(len(s.Label) + len(s.NumLabel))
		cost += costNewStack + costNewFrame*int64(len(s.Location)) + values*(costNewSample+costNewReference*count)
		if count > 0 {
			cost += labelCost(s, labels)
		}
	}
	return cost
}

// labelCost is what the labels of a sample cost. Maps that another sample has, too,
// cost only their lists, which are not looked for.
func labelCost(s *profile.Sample, seen map[uintptr]struct{}) int64 {
	cost := int64(0)
	known := false
	for _, at := range []uintptr{reflect.ValueOf(s.Label).Pointer(), reflect.ValueOf(s.NumLabel).Pointer()} {
		_, ok := seen[at]
		known = known || at != 0 && ok
		seen[at] = struct{}{}
	}
	for key, values := range s.Label {
		switch {
		case len(values) != 1:
			cost += costNewList + costNewListValue*int64(len(values))
		case !known:
			cost += costNewAttribute + int64(len(key)+len(values[0]))
		}
	}
	for key, values := range s.NumLabel {
		switch {
		case len(values) != 1:
			cost += costNewList + costNewListValue*int64(len(values))
		case !known:
			cost += costNewAttribute + int64(len(key))
		}
	}
	return cost
}

// texts are the long ones that are counted, by their place. Short ones count as often
// as they are referred to.
type texts map[textKey]struct{}

func (t texts) cost(s string) int64 {
	if s == "" {
		return 0
	}
	if len(s) < longText {
		return costNewText + int64(len(s))
	}
	key := keyOf(s)
	if _, ok := t[key]; ok {
		return 0
	}
	t[key] = struct{}{}
	return costNewText + int64(len(s))
}
