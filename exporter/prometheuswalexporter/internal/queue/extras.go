package queue

import "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"

// extraStore holds the extras of the samples in a shard, by number from 1 on.
// Numbers are reused.
type extraStore struct {
	all   []*remotewrite.Extra
	holes []uint32
}

func (x *extraStore) put(e remotewrite.Extra) uint32 {
	if n := len(x.holes); n > 0 {
		i := x.holes[n-1]
		x.holes = x.holes[:n-1]
		x.all[i-1] = &e
		return i
	}
	x.all = append(x.all, &e)
	return uint32(len(x.all))
}

func (x *extraStore) get(n uint32) *remotewrite.Extra { return x.all[n-1] }

func (x *extraStore) free(n uint32) {
	x.all[n-1] = nil
	x.holes = append(x.holes, n)
}
