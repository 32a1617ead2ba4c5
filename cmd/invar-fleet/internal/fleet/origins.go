package fleet

import (
	"hash/maphash"
	"time"
)

var originSeed = maphash.MakeSeed()

// origin identifies the process that speaks, as far as it can be told apart: by
// the address of its connection and its attributes.
func (c *collector) origin() uint64 {
	sum := maphash.String(originSeed, c.record.Address)
	for name, value := range c.record.Attributes {
		sum += maphash.String(originSeed, name) ^ 3*maphash.String(originSeed, value)
	}
	return sum
}

// origins finds two processes that use the same id. A process that restarted never
// speaks from an earlier origin, two processes take turns. One return may be chance
// (a pooled connection), several within a few minutes are not.
type origins struct {
	recent     [4]uint64 // the newest first
	returns    int
	lastReturn time.Time
}

// record notes where a message came from.
func (o *origins) record(origin uint64, now time.Time) {
	if origin == o.recent[0] {
		return
	}
	if now.Sub(o.lastReturn) > defaultSilence {
		o.returns = 0
	}
	at := len(o.recent) - 1
	for i, known := range o.recent {
		if known == origin {
			o.returns++
			o.lastReturn, at = now, i
			break
		}
	}
	copy(o.recent[1:at+1], o.recent[:at])
	o.recent[0] = origin
}

// conflict reports whether two processes use the id at the same time.
func (o *origins) conflict(now time.Time) bool {
	return o.returns >= 2 && now.Sub(o.lastReturn) <= defaultSilence
}
