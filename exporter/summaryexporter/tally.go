package summaryexporter

import (
	"cmp"
	"slices"
)

// maxDistinct is the number of services and metric names that a tally keeps apart in
// an interval, which bounds its memory.
const maxDistinct = 10_000

// tally counts one signal. Its zero value is ready to use.
type tally struct {
	items, errors int            // in this interval
	total         int            // since start
	services      map[string]int // items by service in this interval
	names         map[string]struct{}
}

func (t *tally) add(service string, items, errors int) {
	t.items += items
	t.errors += errors
	t.total += items
	if t.services == nil {
		t.services = map[string]int{}
	}
	if _, known := t.services[service]; !known && len(t.services) >= maxDistinct {
		return // the totals above include it
	}
	t.services[service] += items
}

func (t *tally) addName(name string) {
	if t.names == nil {
		t.names = map[string]struct{}{}
	}
	if len(t.names) < maxDistinct {
		t.names[name] = struct{}{}
	}
}

func (t *tally) reset() {
	t.items, t.errors = 0, 0
	clear(t.services)
	clear(t.names)
}

type serviceCount struct {
	name  string
	items int
}

// busiest returns the services in falling order of items.
func (t *tally) busiest() []serviceCount {
	all := make([]serviceCount, 0, len(t.services))
	for name, items := range t.services {
		all = append(all, serviceCount{name, items})
	}
	slices.SortFunc(all, func(a, b serviceCount) int {
		return cmp.Or(cmp.Compare(b.items, a.items), cmp.Compare(a.name, b.name))
	})
	return all
}
