package translate

import (
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Batch is the translation of one plog.Logs. It refers to the memory of the logs
// and of its Translator, and is valid until [Translator.Release].
type Batch struct {
	// Tenants in the order in which they appeared.
	Tenants []*Tenant
	// Records is the number of records.
	Records int
}

// Tenant has the streams of a tenant, in the order in which they appeared.
type Tenant struct {
	ID      string // "" if none is named
	Streams []*Stream
	byLabel map[string]*Stream
}

// Stream has the entries of a stream, in the order of the records.
type Stream struct {
	Labels  string
	Entries []push.Entry
	// Ordinals has the index of each entry's record among all records of the logs.
	Ordinals []int32
}

// EntrySize returns the approximate size of an entry in a request, in bytes before
// compression.
func EntrySize(e *push.Entry) int {
	n := len(e.Line) + 24
	for i := range e.StructuredMetadata {
		m := &e.StructuredMetadata[i]
		n += len(m.Name) + len(m.Value) + 8
	}
	return n
}

// Request is the part of a batch that is sent in one request.
type Request struct {
	Tenant string
	Parts  []Part
}

// Part is a run of a stream's entries.
type Part struct {
	Stream   *Stream
	From, To int
}

// Len returns the number of entries.
func (r Request) Len() int {
	n := 0
	for _, p := range r.Parts {
		n += p.To - p.From
	}
	return n
}

// OneStream reports whether all entries are of one stream.
func (r Request) OneStream() bool {
	for _, p := range r.Parts {
		if p.Stream != r.Parts[0].Stream {
			return false
		}
	}
	return true
}

// Chains divides the batch into requests of at most size bytes, unless a single
// entry is larger. The requests of a chain have to be sent in turn to keep the
// order of a stream. Chains are independent.
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
			parts := split(s, size)
			if len(parts) > 1 {
				chain := make([]Request, len(parts))
				for i, p := range parts {
					chain[i] = Request{Tenant: t.ID, Parts: []Part{p.Part}}
				}
				chains = append(chains, chain)
				continue
			}
			if parts[0].size > room {
				flush()
			}
			open.Parts = append(open.Parts, parts[0].Part)
			room -= parts[0].size
		}
		flush()
	}
	return chains
}

type sizedPart struct {
	Part
	size int
}

// split divides a stream into parts of at most limit bytes, unless a single entry
// is larger.
func split(s *Stream, limit int) []sizedPart {
	var parts []sizedPart
	at := sizedPart{Part: Part{Stream: s}, size: len(s.Labels)}
	for i := range s.Entries {
		n := EntrySize(&s.Entries[i])
		if at.size+n > limit && i > at.From {
			at.To = i
			parts = append(parts, at)
			at = sizedPart{Part: Part{Stream: s, From: i}, size: len(s.Labels)}
		}
		at.size += n
	}
	at.To = len(s.Entries)
	return append(parts, at)
}

// Rest returns a copy of the records of ld that are not done, in their order.
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
