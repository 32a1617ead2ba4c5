package queue

import (
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/seglog"
)

// stage splits the samples of a record by shard. Its slices are reused for the
// next record.
type stage struct {
	items  [][]remotewrite.Item
	extras [][]remotewrite.Extra

	// The last block of slots and its shard.
	block series.Slot
	at    int
}

func (g *stage) begin(shards int) {
	if len(g.items) != shards {
		g.items = make([][]remotewrite.Item, shards)
		g.extras = make([][]remotewrite.Extra, shards)
		g.block, g.at = 0, 0
	}
	for i := range g.items {
		g.items[i] = g.items[i][:0]
		clear(g.extras[i])
		g.extras[i] = g.extras[i][:0]
	}
}

// shardBlock is the number of neighbouring slots that go to one shard. The
// series of a target lie side by side: sent together, their requests need fewer
// symbols.
const shardBlock = 512

func (g *stage) shard(slot series.Slot) int {
	if b := slot / shardBlock; b != g.block {
		g.block, g.at = b, int(b)%len(g.items)
	}
	return g.at
}

func (g *stage) add(slot series.Slot, t int64, v float64) {
	i := g.shard(slot)
	g.items[i] = append(g.items[i], remotewrite.Item{Slot: slot, T: t, V: v})
}

func (g *stage) addExtra(slot series.Slot, t int64, v float64, x *remotewrite.Extra) {
	i := g.shard(slot)
	g.extras[i] = append(g.extras[i], *x)
	g.items[i] = append(g.items[i], remotewrite.Item{Slot: slot, Extra: uint32(len(g.extras[i])), T: t, V: v})
}

// push gives the samples to the shards. pos is the end of their record in the
// log, base its time.
func (g *stage) push(shards []*shard, pos seglog.Position, base int64) {
	for i, s := range shards {
		s.push(g.items[i], g.extras[i], pos, base)
	}
}
