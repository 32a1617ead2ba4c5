package pprofconv

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"google.golang.org/protobuf/encoding/protowire"
)

// tables writes the locations that the samples use, and the functions and mappings that
// these use.
func (e *encoder) tables() {
	for n, i := range e.locations.list {
		e.location(uint64(n+1), e.dict.LocationTable().At(int(i)))
	}
	for n, i := range e.functions.list {
		f := e.dict.FunctionTable().At(int(i))
		sub := appendInt(e.sub[:0], fieldFunctionID, int64(n+1))
		sub = appendInt(sub, fieldFunctionName, e.dictString(f.NameStrindex()))
		sub = appendInt(sub, fieldFunctionSys, e.dictString(f.SystemNameStrindex()))
		sub = appendInt(sub, fieldFunctionFile, e.dictString(f.FilenameStrindex()))
		sub = appendInt(sub, fieldFunctionStart, f.StartLine())
		e.out = appendMessage(e.out, fieldFunction, sub)
		e.sub = sub
	}
	for n, i := range e.mappings.list {
		e.mapping(uint64(n+1), e.dict.MappingTable().At(int(i)), e.hasFunctions[n])
	}
}

func (e *encoder) location(id uint64, l pprofile.Location) {
	sub := appendInt(e.sub[:0], fieldLocationID, int64(id))
	mapping := -1 // index in e.mappings.list
	if i := l.MappingIndex(); i != 0 {
		n, isNew := e.mappings.number(i, e.dict.MappingTable().Len())
		if isNew {
			e.hasFunctions = append(e.hasFunctions, false)
		}
		mapping = int(n) - 1
		sub = appendInt(sub, fieldLocationMap, int64(n))
	}
	sub = appendInt(sub, fieldLocationAddr, int64(l.Address()))
	for _, line := range l.Lines().All() {
		to := e.sub2[:0]
		if i := line.FunctionIndex(); i != 0 {
			n, _ := e.functions.number(i, e.dict.FunctionTable().Len())
			to = appendInt(to, fieldLineFunction, int64(n))
			if mapping >= 0 {
				e.hasFunctions[mapping] = true
			}
		}
		to = appendInt(to, fieldLineLine, line.Line())
		to = appendInt(to, fieldLineColumn, line.Column())
		sub = appendMessage(sub, fieldLocationLine, to)
		e.sub2 = to
	}
	if v, ok := e.find(l.AttributeIndices(), attrIsFolded); ok && v.Bool() {
		sub = appendInt(sub, fieldLocationFold, 1)
	}
	e.out = appendMessage(e.out, fieldLocation, sub)
	e.sub = sub
}

// mapping writes a mapping. hasFunctions reports whether a location of the mapping has a
// function, and is used if no attribute says so.
func (e *encoder) mapping(id uint64, m pprofile.Mapping, hasFunctions bool) {
	sub := appendInt(e.sub[:0], fieldMappingID, int64(id))
	sub = appendInt(sub, fieldMappingStart, int64(m.MemoryStart()))
	sub = appendInt(sub, fieldMappingLimit, int64(m.MemoryLimit()))
	sub = appendInt(sub, fieldMappingOffset, int64(m.FileOffset()))
	sub = appendInt(sub, fieldMappingFile, e.dictString(m.FilenameStrindex()))
	for _, key := range []string{AttrBuildIDGNU, AttrBuildIDGo, AttrBuildIDHash} {
		if v, ok := e.find(m.AttributeIndices(), key); ok {
			sub = appendInt(sub, fieldMappingBuild, e.string(v.AsString()))
			break
		}
	}
	for i, flag := range mappingFlags {
		has := i == 0 && hasFunctions
		if v, ok := e.find(m.AttributeIndices(), flag.key); ok {
			has = v.Bool()
		}
		if has {
			sub = appendInt(sub, fieldMappingHas+protowire.Number(i), 1)
		}
	}
	e.out = appendMessage(e.out, fieldMapping, sub)
	e.sub = sub
}

// find returns the value of the attribute with this key.
func (e *encoder) find(indices pcommon.Int32Slice, key string) (pcommon.Value, bool) {
	for i := range indices.Len() {
		at := int(indices.At(i))
		if at < 0 || at >= e.dict.AttributeTable().Len() {
			continue
		}
		a := e.dict.AttributeTable().At(at)
		if stringAt(e.dict, a.KeyStrindex()) == key {
			return a.Value(), true
		}
	}
	return pcommon.Value{}, false
}
