package fleet

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"strings"
	"time"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// What is kept of one collector is bounded, as anybody with a collector's token
// may say anything.
const (
	maxText       = 1 << 10
	maxError      = 4 << 10
	maxAttributes = 128
	maxValue      = 1 << 10
	// maxAttributeText bounds all names and values of a collector together, in bytes
	// as they are saved.
	maxAttributeText = 16 << 10
	maxBody          = 64 << 10  // of one effective configuration
	maxEffective     = 512 << 10 // of all of a collector
	maxComponents    = 2000
	maxComponent     = 256 // bytes of a component's name
	// maxPacked bounds each of the details of a collector in the state file.
	maxPacked = 32 << 10
)

const (
	// silence is after how long without a word a collector whose interval is not
	// known counts as offline.
	silence = 5 * time.Minute
	// leastSilence keeps a collector that reported twice in short order online.
	leastSilence = 30 * time.Second
	mostSilence  = time.Hour
)

// collector is one collector. The Fleet's mutex guards it.
type collector struct {
	collectorRecord
	// gaps are the latest times between two sightings, a ring.
	gaps     [4]time.Duration
	gapCount int
	origins  origins

	// entry is what the collector is to be offered, as of generation. offered is
	// what it was offered last.
	entry, offered *entry
	generation     uint64

	// effective and components wait to be saved; they are not kept in memory.
	// pending is their size in bytes.
	effective  map[string]string
	components []string
	pending    int

	// What the Fleet counts for it: weight bytes of memory for the token payer, and
	// bytes in the state file.
	weighed                       bool
	weight                        int
	payer                         string
	storedRecord, storedEffective int
	storedComponents              int
}

// collectorRecord is what is saved of a collector.
type collectorRecord struct {
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"`
	Version    string            `json:"version,omitempty"`
	Transport  string            `json:"transport"`
	Address    string            `json:"address"`
	Attributes map[string]string `json:"attributes,omitempty"`
	FirstSeen  time.Time         `json:"first_seen"`
	LastSeen   time.Time         `json:"last_seen"`
	Hash       string            `json:"hash,omitempty"`
	Status     remoteconf.Status `json:"status"`
	Error      string            `json:"error,omitempty"`
	Healthy    *bool             `json:"healthy,omitempty"`
	HealthText string            `json:"health,omitempty"`
	// Gone is set when the collector took its leave.
	Gone bool `json:"gone,omitempty"`
	// Token is the name of the token that it used last.
	Token string `json:"token,omitempty"`
}

// check returns an error that says what of a sighting is out of bounds.
func (s *Sighting) check() error {
	var errs []error
	if s.ID == "" || len(s.ID) > maxText || strings.ContainsFunc(s.ID, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		errs = append(errs, fmt.Errorf("id: has to be 1 to %d bytes without control characters", maxText))
	}
	if len(s.Attributes) > maxAttributes {
		errs = append(errs, fmt.Errorf("attributes: there are %d; at most %d are taken", len(s.Attributes), maxAttributes))
	}
	text := 0
	for name, value := range s.Attributes {
		text += len(name) + len(value)
		if name == "" || len(name) > maxText || len(value) > maxValue {
			errs = append(errs, fmt.Errorf("attributes: names have to be 1 to %d bytes, values up to %d; %q is not", maxText, maxValue, name[:min(len(name), 40)]))
			break
		}
	}
	if 6*text > maxAttributeText { // it may be too much as it is saved
		text = 0
		for name, value := range s.Attributes {
			text += savedSize(name) + savedSize(value)
		}
	}
	if text > maxAttributeText {
		errs = append(errs, fmt.Errorf("attributes: the names and values have %d bytes; at most %d are taken", text, maxAttributeText))
	}
	if s.Status < remoteconf.StatusUnset || s.Status > remoteconf.StatusFailed {
		errs = append(errs, fmt.Errorf("status: %s is not known", s.Status))
	}
	return errors.Join(errs...)
}

// savedSize is the length of a text in JSON.
func savedSize(text string) int {
	n := len(text)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			n += 5 // \u0000
		}
	}
	return n
}

// take notes a sighting, and returns whether it said anything new that has to
// be saved, and whether matchers may decide otherwise now.
func (c *collector) take(s *Sighting, now time.Time) (news, rematch bool) {
	change := func(to *string, from string, bound int) {
		if from = cut(from, bound); *to != from {
			*to, news = from, true
		}
	}
	if s.Name != "" && cut(s.Name, maxText) != c.Name {
		rematch = true
		change(&c.Name, s.Name, maxText)
	}
	if s.Version != "" && cut(s.Version, maxText) != c.Version {
		rematch = true
		change(&c.Version, s.Version, maxText)
	}
	if s.Attributes != nil && !maps.Equal(s.Attributes, c.Attributes) {
		c.Attributes, news, rematch = s.Attributes, true, true
	}
	if !s.Partial {
		change(&c.Hash, s.Hash, maxText)
		change(&c.Error, s.Error, maxError)
		if c.Status != s.Status {
			c.Status, news = s.Status, true
		}
	}
	if s.Healthy != nil {
		if c.Healthy == nil || *c.Healthy != *s.Healthy {
			healthy := *s.Healthy
			c.Healthy, news = &healthy, true
		}
		change(&c.HealthText, s.HealthText, maxError)
	}
	if s.Effective != nil {
		c.effective, news = boundEffective(s.Effective), true
	}
	if s.Components != nil {
		c.components, news = boundComponents(s.Components), true
	}
	if c.Gone {
		c.Gone, news = false, true
	}
	if s.Token != "" && c.Token != s.Token {
		c.Token, news = s.Token, true
	}
	// The address changes with every connection: alone it is no news.
	c.Transport, c.Address = cut(s.Transport, maxText), cut(s.Address, maxText)
	c.origins.saw(c.origin(), now)
	if c.online(now) {
		c.gaps[c.gapCount%len(c.gaps)] = now.Sub(c.LastSeen)
		c.gapCount++
	} else {
		c.gapCount = 0
	}
	c.LastSeen = now
	return news, rematch
}

// silence is after how long without a word the collector counts as offline:
// three times the longest of its latest intervals.
func (c *collector) silence() time.Duration {
	if c.gapCount < len(c.gaps) {
		return silence
	}
	longest := time.Duration(0)
	for _, gap := range c.gaps {
		longest = max(longest, gap)
	}
	return min(max(3*longest, leastSilence), mostSilence)
}

// online compares with monotonic time where the process has seen the collector
// itself, so that a clock that jumps takes nobody offline.
func (c *collector) online(now time.Time) bool {
	return !c.Gone && !c.LastSeen.IsZero() && now.Sub(c.LastSeen) < c.silence()
}

// attribute returns what matchers compare; "" if the collector has none of that
// name. collector.id and collector.name are there for all.
func (c *collector) attribute(name string) string {
	switch name {
	case "collector.id":
		return c.ID
	case "collector.name":
		return c.Name
	}
	if value, ok := c.Attributes[name]; ok {
		return value
	}
	if name == "collector.version" {
		return c.Version
	}
	return ""
}

// progress is how far a collector is with what it was offered.
type progress int

const (
	pending progress = iota
	applying
	applied
	failed
	progresses int = iota
)

func (c *collector) progress() progress {
	if c.Hash != c.entry.Hash {
		return pending
	}
	switch c.Status {
	case remoteconf.StatusApplied:
		return applied
	case remoteconf.StatusApplying:
		return applying
	case remoteconf.StatusFailed:
		return failed
	}
	if c.Hash == "" {
		return applied // nothing is offered, nothing was received
	}
	return pending
}

// origin identifies the process that speaks, as far as one can be told from
// another: by where its connection comes from and what it says of itself.
func (c *collector) origin() uint64 {
	sum := maphash.String(originSeed, c.Address)
	for name, value := range c.Attributes {
		sum += maphash.String(originSeed, name) ^ 3*maphash.String(originSeed, value)
	}
	return sum
}

var originSeed = maphash.MakeSeed()

// origins finds two processes that use one id: one that restarted never speaks
// from where it was before, two take turns. One return may be chance (a
// connection in reserve), several within a few minutes are not.
type origins struct {
	recent  [4]uint64 // the newest first
	returns int
	last    time.Time // of the last return
}

func (o *origins) saw(origin uint64, now time.Time) {
	if origin == o.recent[0] {
		return
	}
	if now.Sub(o.last) > silence {
		o.returns = 0
	}
	at := len(o.recent) - 1
	for i, known := range o.recent {
		if known == origin {
			o.returns++
			o.last, at = now, i
			break
		}
	}
	copy(o.recent[1:at+1], o.recent[:at])
	o.recent[0] = origin
}

func (o *origins) conflict(now time.Time) bool {
	return o.returns >= 2 && now.Sub(o.last) <= silence
}

// boundEffective copies what of effective configurations is kept.
func boundEffective(effective map[string][]byte) map[string]string {
	kept, room := make(map[string]string, len(effective)), maxEffective
	for _, name := range sortedKeys(effective) {
		if room -= len(name) + min(len(effective[name]), maxBody); room < 0 {
			break
		}
		body := effective[name]
		text := string(body[:min(len(body), maxBody)])
		if len(body) > maxBody {
			text = cut(text, maxBody) + "\n# invar-fleet keeps the first 64 KiB\n"
		}
		kept[cut(name, maxText)] = text
	}
	return kept
}

// boundComponents copies what of a list of components is kept.
func boundComponents(names []string) []string {
	kept := make([]string, 0, min(len(names), maxComponents))
	for _, name := range names[:min(len(names), maxComponents)] {
		kept = append(kept, cut(name, maxComponent))
	}
	return kept
}

// cut returns at most n bytes of s, as valid UTF-8. It does not keep s in memory.
func cut(s string, n int) string {
	if len(s) > n {
		s = strings.Clone(s[:n])
	}
	return strings.ToValidUTF8(s, "�")
}
