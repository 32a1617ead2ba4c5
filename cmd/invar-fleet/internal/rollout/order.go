package rollout

import "github.com/cespare/xxhash/v2"

// Position returns where a collector stands in the order of a rollout, from 0 to
// 99. Collectors whose position is below the percentage get the candidate. Every
// revision has an order of its own, so it is not always the same collectors that
// go first.
func Position(id, pipeline string, revision uint64) int {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(id)
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(pipeline)
	number := [...]byte{0, byte(revision >> 24), byte(revision >> 16), byte(revision >> 8), byte(revision)}
	_, _ = d.Write(number[:])
	return int(d.Sum64() % 100)
}
