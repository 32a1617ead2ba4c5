package series

// index finds slots by hash. It uses open addressing with linear probing, and
// four bytes for each place; the hashes are in the entries.
type index struct {
	places  []Slot // length is a power of two
	used    int    // including tombstones
	deleted int
}

const tombstone = ^Slot(0)

func (x *index) init(size int) { *x = index{places: make([]Slot, size)} }

// probe begins a search.
func (x *index) probe(hash uint64) uint64 { return hash }

// next returns the next slot that may have the hash, or 0 if there is none.
func (x *index) next(p *uint64) Slot {
	mask := uint64(len(x.places) - 1)
	for {
		s := x.places[*p&mask]
		*p++
		if s != tombstone {
			return s
		}
	}
}

// insert adds a slot that is not in the index. It calls hashOf for the others
// when the index grows.
func (x *index) insert(hash uint64, slot Slot, hashOf func(Slot) uint64) {
	if (x.used+1)*4 > len(x.places)*3 {
		size := len(x.places)
		if (x.used-x.deleted)*2 > size {
			size *= 2
		}
		old := x.places
		x.init(size)
		for _, s := range old {
			if s != 0 && s != tombstone {
				x.place(hashOf(s), s)
			}
		}
	}
	x.place(hash, slot)
}

func (x *index) place(hash uint64, slot Slot) {
	mask := uint64(len(x.places) - 1)
	for p := hash; ; p++ {
		if x.places[p&mask] == 0 {
			x.places[p&mask] = slot
			x.used++
			return
		}
	}
}

func (x *index) remove(hash uint64, slot Slot) {
	mask := uint64(len(x.places) - 1)
	for p := hash; x.places[p&mask] != 0; p++ {
		if x.places[p&mask] == slot {
			x.places[p&mask] = tombstone
			x.deleted++
			return
		}
	}
}
