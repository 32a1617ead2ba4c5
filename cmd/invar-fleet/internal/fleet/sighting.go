package fleet

import (
	"errors"
	"fmt"
	"strings"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// The transports of a Sighting.
const (
	TransportConnect = "connect"
	TransportOpAMP   = "opamp"
)

// Sighting is what a collector said in one message, over either transport. The
// fleet owns the maps and slices afterwards: the caller must not change them.
type Sighting struct {
	// ID identifies the collector. It is the only required field.
	ID string
	// Name and Version are for people. Empty: unchanged.
	Name, Version string
	// Transport is TransportConnect or TransportOpAMP.
	Transport string
	// Token is the name of the token that the message was sent with. Empty:
	// unchanged.
	Token string
	// Address is where the message came from, host:port or a host.
	Address string
	// Attributes are what matchers match. Nil: unchanged.
	Attributes map[string]string
	// Partial means that Hash, Status and Error are not set: unchanged.
	Partial bool
	// Hash identifies the content that the collector received last, in any status.
	Hash string
	// Status is what became of that content, Error why it failed.
	Status remoteconf.Status
	Error  string
	// Effective is what the collector runs, as YAML by name. Nil: unchanged.
	Effective map[string][]byte
	// Healthy and HealthText are what the collector says about itself. Nil:
	// unchanged, or not known if it never said.
	Healthy    *bool
	HealthText string
	// Components are the components in the collector's binary, as kind/type.
	// Nil: unchanged.
	Components []string
}

// check returns an error that names what is out of bounds, or nil.
func (s *Sighting) check() error {
	var errs []error
	if s.ID == "" || len(s.ID) > maxText || strings.ContainsFunc(s.ID, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		errs = append(errs, fmt.Errorf("id: has to be 1 to %d bytes without control characters", maxText))
	}
	if len(s.Attributes) > maxAttributes {
		errs = append(errs, fmt.Errorf("attributes: there are %d; the limit is %d", len(s.Attributes), maxAttributes))
	}
	text := 0
	for name, value := range s.Attributes {
		text += len(name) + len(value)
		if name == "" || len(name) > maxText || len(value) > maxValue {
			errs = append(errs, fmt.Errorf("attributes: names have to be 1 to %d bytes, values up to %d; %q is not", maxText, maxValue, name[:min(len(name), 40)]))
			break
		}
	}
	if 6*text > maxAttributeText { // JSON may be six times as long
		text = 0
		for name, value := range s.Attributes {
			text += savedSize(name) + savedSize(value)
		}
	}
	if text > maxAttributeText {
		errs = append(errs, fmt.Errorf("attributes: the names and values have %d bytes; the limit is %d", text, maxAttributeText))
	}
	if s.Status < remoteconf.StatusUnset || s.Status > remoteconf.StatusFailed {
		errs = append(errs, fmt.Errorf("status: %s is not known", s.Status))
	}
	return errors.Join(errs...)
}

// savedSize returns the length of a text in JSON, in bytes.
func savedSize(text string) int {
	n := len(text)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			n += 5 // \u0000
		}
	}
	return n
}

// detailed reports whether the message has details, which are large.
func (s *Sighting) detailed() bool { return s.Effective != nil || s.Components != nil }

// reportsFailure reports whether the message says that the collector failed.
func (s *Sighting) reportsFailure() bool {
	return !s.Partial && s.Status == remoteconf.StatusFailed
}

// Offer is what a collector should run. It is shared between collectors with
// the same pipelines, and must not be changed.
type Offer struct {
	Set remoteconf.Set
	// Hash is Set.Hash(): "" for no pipelines.
	Hash string

	contents *contents
}

// Content returns the set as one document. Collectors that are offered the same set
// at about the same time share the slice: it must not be changed.
func (o Offer) Content() ([]byte, error) {
	if o.contents == nil {
		return o.Set.Content()
	}
	return o.contents.get(o)
}
