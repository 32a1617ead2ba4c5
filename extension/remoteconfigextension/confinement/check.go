package confinement

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

const (
	// maxDepth bounds the nesting of a configuration; real ones have about 12.
	maxDepth = 64
	// maxRemembered bounds the findings kept to report each one once.
	maxRemembered = 1000
	// maxForms bounds how often an address is unescaped.
	maxForms = 5
	// maxFindings bounds the length of an error, which a fleet server displays.
	maxFindings = 20
)

// Keys with checks of their own.
const (
	serviceKey        = "service"
	telemetryKey      = "telemetry"
	scrapersKey       = "scrapers"
	detectorsKey      = "detectors"
	resolverKey       = "resolver"
	saslKey           = "sasl"
	mechanismKey      = "mechanism"
	operatorsKey      = "operators"
	metadataOperators = "metadata_operators"
	externalLabelsKey = "external_labels"
	authTypeKey       = "auth_type"
	tpmKey            = "tpm"
	discoverySuffix   = "_sd_configs"
)

// expressionStart begins an expression in a value of a log operator.
const expressionStart = "EXPR("

var (
	// unixAddress finds a Unix socket in an address. gRPC also accepts it after
	// another scheme, as in passthrough:///unix:///run/x. Clients trim spaces.
	unixAddress = regexp.MustCompile(`(?is)(?:^|[/:@,])\s*(unix|unix-abstract|unixgram|unixpacket|npipe|vsock):\s*(.*?)\s*$`)
	// readsEnv matches expressions of a log operator that read the environment:
	// env("X"), the variable it is stored in, and all variables as a map. It does
	// not match a member or key of that name: attributes.env, attributes["env"].
	readsEnv = regexp.MustCompile("(^|[^.\\w\"'`])env\\b|\\.\\.\\s*env\\b|\\$env\\b|os_env_func")
)

// checker walks one configuration and collects violations of the rules.
type checker struct {
	rules    *Rules
	raw      bool // before ${…} is expanded
	findings []error
	omitted  int // findings beyond maxFindings
	found    map[string]bool
}

// place is a position in a configuration.
type place struct {
	path  string // as the user writes it: receivers::otlp::protocols
	id    string // kind/type of the component, with the current type
	key   string // last named key in lower case; a list item has the list's key
	under string // the key above it
	free  bool   // the user chose the key, not the component
	item  bool   // an item of a list
	depth int
}

// child returns the place of the entry with the given name.
func (p place) child(name string) place {
	return place{
		path: p.path + confmap.KeyDelimiter + name, id: p.id,
		key: strings.ToLower(name), under: p.key, depth: p.depth + 1,
	}
}

// find records a violation at path. It drops repetitions: a value is checked in
// each of its readings and once more decoded.
func (c *checker) find(path, format string, args ...any) {
	finding := path + ": " + fmt.Sprintf(strings.ReplaceAll(format, "%w", "%v"), args...)
	if c.found[finding] {
		return
	}
	if c.found == nil {
		c.found = map[string]bool{}
	}
	if len(c.found) < maxRemembered {
		c.found[finding] = true
	}
	if len(c.findings) == maxFindings {
		c.omitted++
		return
	}
	c.findings = append(c.findings, fmt.Errorf("%s: %w", path, fmt.Errorf(format, args...)))
}

func (c *checker) err() error {
	if c.omitted > 0 {
		return errors.Join(append(c.findings, fmt.Errorf("and %d more", c.omitted))...)
	}
	return errors.Join(c.findings...)
}

// config checks a whole configuration.
func (c *checker) config(m map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value := m[name]
		kind, isSection := sections[name]
		switch {
		case isSection:
			if components, ok := c.asMap(name, value); ok {
				for _, id := range slices.Sorted(maps.Keys(components)) {
					c.component(name, kind, id, components[id])
				}
			}
		case name == serviceKey:
			service, ok := c.asMap(name, value)
			if _, has := service[telemetryKey]; ok && has {
				c.find(serviceKey+confmap.KeyDelimiter+telemetryKey,
					"is the host's, not a remote configuration's; leave it out")
			}
			c.value(place{path: name, key: name}, value)
		default:
			c.find(name, "is not a section of a configuration; use receivers, processors, exporters, connectors, extensions and service")
		}
	}
}

// asMap returns value as a map whose values the caller checks. A string with a
// ${…} is not an error before expansion: CheckResolved sees the result.
func (c *checker) asMap(path string, value any) (map[string]any, bool) {
	switch m := parsed(value).(type) {
	case nil:
		return nil, false
	case map[string]any:
		return m, true
	case string:
		c.expansions(path, m)
		if !c.raw || !strings.Contains(m, "${") {
			c.find(path, "is not a map of components")
		}
	default:
		c.find(path, "is not a map of components with names")
	}
	return nil, false
}

func (c *checker) component(section, kind, rawID string, value any) {
	path := section + confmap.KeyDelimiter + rawID
	// The collector would split such a key and read another component from it.
	if name, _, split := strings.Cut(rawID, confmap.KeyDelimiter); split {
		c.find(path, "is not the name of a component; write %s and its keys below each other", name)
		return
	}
	var id component.ID
	if err := id.UnmarshalText([]byte(rawID)); err != nil {
		c.find(path, "is not the name of a component: %w", err)
		return
	}
	name := canonical(kind, id.Type().String())
	if ok, why := c.rules.allows(kind, name); !ok {
		c.find(path, "%s %q is not allowed to remote configurations: %s", kind, name, why)
		return
	}
	p := place{path: path, id: kind + "/" + name}
	c.value(p, value)
	if c.raw {
		return
	}
	m, _ := parsed(value).(map[string]any)
	if f, writes := folders[p.id]; writes && (f.always || parsed(m[f.parent]) != nil) && !hasText(m[f.parent], f.name) {
		c.noFolder(path, f)
	}
	if p.id == resourceDetection {
		c.detection(path, m)
	}
}

// noFolder records that a component names no folder.
func (c *checker) noFolder(path string, f folder) {
	c.find(strings.Join([]string{path, f.parent, f.name}, confmap.KeyDelimiter),
		"is not set, and its default is a folder of this host; name one below allowed_paths")
}

// hasText reports whether parent is a map with a non-empty text at a key.
func hasText(parent any, name string) bool {
	m, _ := parsed(parent).(map[string]any)
	if expanded, is := m[name].(xconfmap.ExpandedValue); is {
		return expanded.Original != ""
	}
	text, _ := m[name].(string)
	return text != ""
}

// part checks a part of a component, such as a scraper.
func (c *checker) part(path, kind, name string) {
	if kind == partDetector && name == schemeEnv && c.rules.allowsProvider(schemeEnv) {
		return
	}
	if ok, why := c.rules.allows(kind, name); !ok {
		c.find(path, "%s %q is not allowed to remote configurations: %s; the administrator can add %s/%s to allowed_components",
			kind, name, why, kind, name)
	}
}

// value checks a value and everything below it.
func (c *checker) value(p place, value any) {
	if p.depth > maxDepth {
		c.find(p.path, "is nested deeper than %d", maxDepth)
		return
	}
	switch v := value.(type) {
	case xconfmap.ExpandedValue:
		for _, reading := range readings(v) {
			c.value(p, reading)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			c.entry(p, name, v[name])
		}
	case map[any]any:
		byName := make(map[string]any, len(v))
		for k, inner := range v {
			byName[fmt.Sprint(k)] = inner
		}
		c.value(p, byName)
	case []any:
		for i, inner := range v {
			item := p
			item.path = fmt.Sprintf("%s::%d", p.path, i)
			item.item = true
			item.depth++
			c.value(item, inner)
		}
	case string:
		c.text(p, v)
	case nil, bool, int, int64, uint64, float64, time.Time:
	default:
		c.find(p.path, "has the type %T, which YAML does not have", value)
	}
}

// entry checks one key of a map and its value.
func (c *checker) entry(p place, name string, value any) {
	at := p.child(name)
	c.expansions(at.path, name)
	// Code that decodes list items may split their keys, as the collector does.
	if i := strings.LastIndex(at.key, confmap.KeyDelimiter); i >= 0 {
		c.find(at.path, "is a key in parts; write them below each other")
		return
	}
	for _, reading := range readings(value) {
		_, nested := reading.(map[string]any)
		at.free = p.holdsFree() && !nested
		if p.id != "" {
			c.special(p, at, name, reading)
		}
		c.value(at, reading)
	}
}

// holdsFree reports whether the user chooses the keys below a place.
func (p place) holdsFree() bool {
	return freeKeys[p.key] && !userKeys[p.under] && !p.item && !p.free
}

// special checks keys that select a part of a component or bypass the rules. A
// scraper counts even without a value, as it then has its defaults. Other keys
// without a value are skipped: if they have an effect, the decoded configuration
// shows it.
func (c *checker) special(p, at place, name string, value any) {
	if p.key == scrapersKey {
		c.part(at.path, partScraper, name)
	}
	if value == nil {
		return
	}
	if k := classify(at.id, at.key); k.class == classBypass && !at.free {
		c.find(at.path, "%s; no rule permits it", k.reason)
	}
	if discovery, is := strings.CutSuffix(at.key, discoverySuffix); is {
		c.part(at.path, partDiscovery, discovery)
	}
	if identity := identityKeys[at.key]; identity != "" && !at.free {
		c.part(at.path, partIdentity, identity)
	}
	if text, is := value.(string); is && at.key == authTypeKey && text != "" && !at.free && !c.pending(text) {
		c.part(at.path, partAuthType, strings.ToLower(text))
	}
	switch p.key {
	case tpmKey:
		if at.key == "enabled" && value == true {
			c.part(at.path, partIdentity, tpmKey)
		}
	case resolverKey:
		if p.id == kindExporter+"/load_balancing" {
			c.part(at.path, partResolver, name)
		}
	case operatorsKey, metadataOperators:
		if text, ok := value.(string); ok && at.key == "type" && !c.pending(text) {
			c.part(at.path, partOperator, text)
		}
	case saslKey:
		if text, ok := value.(string); ok && at.key == mechanismKey && text != "" && !c.pending(text) {
			c.part(at.path, partSASL, strings.ToLower(text))
		}
	}
}

// pending reports whether a text has yet to be expanded. It is checked
// afterwards.
func (c *checker) pending(text string) bool { return c.raw && strings.Contains(text, "$") }

// text checks a single value.
func (c *checker) text(p place, text string) {
	c.expansions(p.path, text)
	if (p.under == externalLabelsKey || p.key == externalLabelsKey) && strings.Contains(text, "$") && !c.rules.allowsProvider(schemeEnv) {
		c.find(p.path, "Prometheus replaces $ in it with a variable of the environment, which is not among allowed_providers")
	}
	if strings.HasPrefix(p.id, kindReceiver+"/") && (expressions[p.key] || strings.Contains(text, expressionStart)) &&
		readsEnv.MatchString(text) && !c.rules.allowsProvider(schemeEnv) {
		c.find(p.path, "reads the environment with env, which is not among allowed_providers")
	}
	if p.free || p.id == "" || c.pending(text) {
		return
	}
	if p.id == resourceDetection && p.key == detectorsKey {
		for name := range strings.SplitSeq(text, ",") {
			c.part(p.path, partDetector, strings.TrimSpace(name))
		}
		return
	}
	switch classify(p.id, p.key).class {
	case classFile:
		c.files(p.path, text)
		return
	case classEnv:
		if text != "" && !c.rules.allowsProvider(schemeEnv) {
			c.find(p.path, "%q is a variable of the environment, and env is not among allowed_providers", text)
		}
		return
	}
	c.socket(p.path, text)
}

// files checks a path or a list of paths: the collector splits a text at commas
// to decode it into a list.
func (c *checker) files(path, text string) {
	if text == "" || text == "stdout" || text == "stderr" {
		return
	}
	pieces := strings.Split(text, ",")
	if len(pieces) > 1 {
		pieces = append(pieces, text)
	}
	for _, piece := range pieces {
		if err := c.rules.checkPath(piece); err != nil {
			c.find(path, "%w", err)
			return
		}
	}
}

// socket checks the path of a Unix socket if text is an address of one.
func (c *checker) socket(path, text string) {
	if !strings.Contains(text, ":") && !strings.Contains(text, "%") {
		return
	}
	for _, form := range forms(text) {
		if address := unixAddress.FindStringSubmatch(form); address != nil {
			c.unixSocket(path, strings.ToLower(address[1]), address[2])
			return
		}
	}
}

// forms returns a text as written and after each round of unescaping: several
// readers in turn may unescape a URL's path or an address list.
func forms(text string) []string {
	all := []string{text}
	for len(all) < maxForms {
		decoded, err := url.PathUnescape(text)
		if err != nil || decoded == text {
			break
		}
		text = decoded
		all = append(all, decoded)
	}
	return all
}

func (c *checker) unixSocket(path, scheme, rest string) {
	file := rest
	if after, found := strings.CutPrefix(rest, "//"); found {
		file = after
	}
	if scheme == "unix-abstract" || scheme == "npipe" || scheme == "vsock" || strings.HasPrefix(file, "@") {
		c.find(path, "an address of %s leads to other programs of this host, which no rule permits", scheme)
		return
	}
	if err := c.rules.checkPath(file); err != nil {
		c.find(path, "%w", err)
	}
}
