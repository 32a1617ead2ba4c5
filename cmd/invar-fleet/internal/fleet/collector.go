package fleet

import (
	"maps"
	"strings"
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

// Bounds of what one collector can make the server keep. Whoever has a token for
// collectors may send anything.
const (
	maxText       = 1 << 10
	maxError      = 4 << 10
	maxAttributes = 128
	maxValue      = 1 << 10
	// maxAttributeText bounds all names and values of a collector together, in saved
	// bytes.
	maxAttributeText = 16 << 10
	maxBody          = 64 << 10  // of one effective configuration
	maxEffective     = 512 << 10 // of all of them of a collector
	maxComponents    = 2000
	maxComponent     = 256 // bytes of a component's name
)

const (
	// defaultSilence is how long a collector whose interval is not known stays
	// online without a message.
	defaultSilence = 5 * time.Minute
	// minSilence keeps a collector online that reported twice in quick succession.
	minSilence = 30 * time.Second
	maxSilence = time.Hour
)

// collector is one collector. The Fleet's mutex guards it.
type collector struct {
	record store.Collector
	// gaps are the latest intervals between two messages, a ring.
	gaps     [4]time.Duration
	gapCount int
	origins  origins

	// entry is what the collector is to be offered, as of generation. offered is
	// what it was offered last.
	entry, offered *entry
	generation     uint64

	// effective and components wait to be saved. They are not kept in memory
	// otherwise. pending is their size in bytes.
	effective  map[string]string
	components []string
	pending    int

	// The registry counts memory bytes for the token payer, and stored bytes in the
	// state file. memory is 0 if the collector is not counted.
	memory int
	payer  string
	stored storedSizes
}

// storedSizes are the sizes of a collector's parts in the state file, in bytes.
type storedSizes struct{ record, effective, components int }

func (s storedSizes) total() int { return s.record + s.effective + s.components }

// effect is what a message changed. A higher value includes the lower ones.
type effect int

const (
	// nothingNew means that the collector said nothing that has to be saved.
	nothingNew effect = iota
	// recordChanged means that there is something to save.
	recordChanged
	// attributesChanged means that matchers may decide otherwise, too.
	attributesChanged
)

// apply takes over what a message says.
func (c *collector) apply(s *Sighting, now time.Time) effect {
	r, result := &c.record, nothingNew
	set := func(field *string, value string, limit int, e effect) {
		if value = truncate(value, limit); *field != value {
			*field, result = value, max(result, e)
		}
	}
	if s.Name != "" {
		set(&r.Name, s.Name, maxText, attributesChanged)
	}
	if s.Version != "" {
		set(&r.Version, s.Version, maxText, attributesChanged)
	}
	if s.Attributes != nil && !maps.Equal(s.Attributes, r.Attributes) {
		r.Attributes, result = s.Attributes, attributesChanged
	}
	if !s.Partial {
		set(&r.Hash, s.Hash, maxText, recordChanged)
		set(&r.Error, s.Error, maxError, recordChanged)
		if r.Status != s.Status {
			r.Status, result = s.Status, max(result, recordChanged)
		}
	}
	if s.Healthy != nil {
		if r.Healthy == nil || *r.Healthy != *s.Healthy {
			healthy := *s.Healthy
			r.Healthy, result = &healthy, max(result, recordChanged)
		}
		set(&r.HealthText, s.HealthText, maxError, recordChanged)
	}
	if s.Effective != nil {
		c.effective, result = boundEffective(s.Effective), max(result, recordChanged)
	}
	if s.Components != nil {
		c.components, result = boundComponents(s.Components), max(result, recordChanged)
	}
	if r.Gone {
		r.Gone, result = false, max(result, recordChanged)
	}
	if s.Token != "" && r.Token != s.Token {
		r.Token, result = s.Token, max(result, recordChanged)
	}
	c.see(s, now)
	return result
}

// see notes when and from where a message came. That alone is not saved at once:
// the address changes with every connection.
func (c *collector) see(s *Sighting, now time.Time) {
	c.record.Transport, c.record.Address = truncate(s.Transport, maxText), truncate(s.Address, maxText)
	c.origins.record(c.origin(), now)
	if c.online(now) {
		c.gaps[c.gapCount%len(c.gaps)] = now.Sub(c.record.LastSeen)
		c.gapCount++
	} else {
		c.gapCount = 0
	}
	c.record.LastSeen = now
}

// silence returns how long the collector stays online without a message: three
// times the longest of its latest intervals.
func (c *collector) silence() time.Duration {
	if c.gapCount < len(c.gaps) {
		return defaultSilence
	}
	longest := time.Duration(0)
	for _, gap := range c.gaps {
		longest = max(longest, gap)
	}
	return min(max(3*longest, minSilence), maxSilence)
}

// online reports whether the collector is online. Times are monotonic where this
// process has seen the collector, so that a clock that jumps takes none offline.
func (c *collector) online(now time.Time) bool {
	return !c.record.Gone && !c.record.LastSeen.IsZero() && now.Sub(c.record.LastSeen) < c.silence()
}

// attribute returns the value that matchers compare, or "" if the collector has no
// such attribute. Every collector has collector.id and collector.name.
func (c *collector) attribute(name string) string {
	switch name {
	case "collector.id":
		return c.record.ID
	case "collector.name":
		return c.record.Name
	}
	if value, ok := c.record.Attributes[name]; ok {
		return value
	}
	if name == "collector.version" {
		return c.record.Version
	}
	return ""
}

// boundEffective copies effective configurations within the bounds.
func boundEffective(effective map[string][]byte) map[string]string {
	kept, room := make(map[string]string, len(effective)), maxEffective
	for _, name := range sortedKeys(effective) {
		if room -= len(name) + min(len(effective[name]), maxBody); room < 0 {
			break
		}
		body := effective[name]
		text := string(body[:min(len(body), maxBody)])
		if len(body) > maxBody {
			text = truncate(text, maxBody) + "\n# invar-fleet keeps the first 64 KiB\n"
		}
		kept[truncate(name, maxText)] = text
	}
	return kept
}

// boundComponents copies a list of components within the bounds.
func boundComponents(names []string) []string {
	kept := make([]string, 0, min(len(names), maxComponents))
	for _, name := range names[:min(len(names), maxComponents)] {
		kept = append(kept, truncate(name, maxComponent))
	}
	return kept
}

// truncate returns at most n bytes of s, as valid UTF-8. It does not keep s in
// memory.
func truncate(s string, n int) string {
	if len(s) > n {
		s = strings.Clone(s[:n])
	}
	return strings.ToValidUTF8(s, "�")
}
