package pprofconv

import (
	"reflect"

	"github.com/google/pprof/profile"
)

// Memory for the parts of a profile in a Batch in bytes, including entries of the maps that
// index them. A test measures that they are sufficient.
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
	costNewAttribute  = 260 // not used by an earlier sample
	costNewList       = 200
	costNewListValue  = 64
	costNewReference  = 4 // from a sample of one sample type to an attribute
	costProfileHeader = 2048
)

// costOf returns an upper estimate of the memory for converting p, in bytes.
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
		if keyOf(f.Filename) != keyOf(file) { // functions of a file are often adjacent
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

// labelCost returns the cost of a sample's labels. Attributes of maps that an earlier sample
// has as well are shared; lists never are.
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

// texts holds the long strings counted so far, by address. Short strings count as often as
// they are referenced.
type texts map[textKey]struct{}

// cost returns the cost of a string, which is 0 if it has been counted.
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
