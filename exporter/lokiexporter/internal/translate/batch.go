package translate

import (
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Batch is what one plog.Logs became. It refers to the logs' memory and to its
// Translator's, until that translates again.
type Batch struct {
	// Tenants in the order in which they appeared.
	Tenants []*Tenant
	// Records is how many there were.
	Records int
}

// Tenant are the streams of one tenant, in the order in which they appeared.
type Tenant struct {
	ID      string // empty: none is named
	Streams []*Stream
	byLabel map[string]*Stream
}

// Stream is a stream's entries in the order of its records.
type Stream struct {
	Labels  string
	Entries []push.Entry
	// Ordinals say which record each entry is: its place among all records of
	// the logs, from 0.
	Ordinals []int32
}

// EntrySize is about how many bytes an entry takes in a request, before
// compression.
func EntrySize(e *push.Entry) int {
	n := len(e.Line) + 24
	for i := range e.StructuredMetadata {
		m := &e.StructuredMetadata[i]
		n += len(m.Name) + len(m.Value) + 8
	}
	return n
}

// Request is part of a batch that fits into one request.
type Request struct {
	Tenant string
	Parts  []Part
}

// Part is a run of a stream's entries.
type Part struct {
	Stream   *Stream
	From, To int
}

// Len is how many entries the request has.
func (r Request) Len() int {
	n := 0
	for _, p := range r.Parts {
		n += p.To - p.From
	}
	return n
}

// OneStream tells whether all entries are of one stream.
func (r Request) OneStream() bool {
	for _, p := range r.Parts {
		if p.Stream != r.Parts[0].Stream {
			return false
		}
	}
	return true
}

// Chains divides the batch into requests of at most size bytes, if a single
// entry isn't larger. The requests of a chain have to be sent one after the
// other, to keep the order of a stream; chains are independent.
func (b *Batch) Chains(size int) [][]Request {
	var chains [][]Request
	for _, t := range b.Tenants {
		open, room := Request{Tenant: t.ID}, size
		flush := func() {
			if len(open.Parts) > 0 {
				chains = append(chains, []Request{open})
				open, room = Request{Tenant: t.ID}, size
			}
		}
		for _, s := range t.Streams {
			cuts := cut(s, size)
			if len(cuts) > 1 {
				chain := make([]Request, len(cuts))
				for i, c := range cuts {
					chain[i] = Request{Tenant: t.ID, Parts: []Part{c.Part}}
				}
				chains = append(chains, chain)
				continue
			}
			if cuts[0].size > room {
				flush()
			}
			open.Parts = append(open.Parts, cuts[0].Part)
			room -= cuts[0].size
		}
		flush()
	}
	return chains
}

type sizedPart struct {
	Part
	size int
}

// cut divides a stream into parts of at most limit bytes.
func cut(s *Stream, limit int) []sizedPart {
	var cuts []sizedPart
	at := sizedPart{Part: Part{Stream: s}, size: len(s.Labels)}
	for i := range s.Entries {
		n := EntrySize(&s.Entries[i])
		if at.size+n > limit && i > at.From {
			at.To = i
			cuts = append(cuts, at)
			at = sizedPart{Part: Part{Stream: s, From: i}, size: len(s.Labels)}
		}
		at.size += n
	}
	at.To = len(s.Entries)
	return append(cuts, at)
}

// Rest copies the records of ld that are not done, in their order.
func Rest(ld plog.Logs, done []bool) plog.Logs {
	rest := plog.NewLogs()
	ordinal := 0
	for _, rl := range ld.ResourceLogs().All() {
		var toResource plog.ResourceLogs
		wanted := false
		for _, sl := range rl.ScopeLogs().All() {
			var toScope plog.ScopeLogs
			scoped := false
			for _, record := range sl.LogRecords().All() {
				if !done[ordinal] {
					if !wanted {
						wanted = true
						toResource = rest.ResourceLogs().AppendEmpty()
						rl.Resource().CopyTo(toResource.Resource())
						toResource.SetSchemaUrl(rl.SchemaUrl())
					}
					if !scoped {
						scoped = true
						toScope = toResource.ScopeLogs().AppendEmpty()
						sl.Scope().CopyTo(toScope.Scope())
						toScope.SetSchemaUrl(sl.SchemaUrl())
					}
					record.CopyTo(toScope.LogRecords().AppendEmpty())
				}
				ordinal++
			}
		}
	}
	return rest
}
