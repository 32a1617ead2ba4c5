// Package redaction hides the secrets of a configuration wherever the process
// shows or sends it: the configuration itself (as written, resolved, or with
// defaults), and errors and logs about it.
//
// A value counts as a secret because of the type it is decoded into
// (configopaque.String, Prometheus' Secret), the name of its key, the map that
// holds it (headers, parameters), or its form (passwords in URLs and connection
// strings, private keys). Secrets whose value is known are hidden in other texts
// too.
package redaction

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	commonconfig "github.com/prometheus/common/config"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/config/configwalk"
)

// Mask replaces a secret. It is the same as configopaque's.
const Mask = "[REDACTED]"

// maxDepth bounds the nesting that Map copies. Everything deeper is masked.
const maxDepth = 200

// Secrets holds the known secrets of a configuration. A nil *Secrets knows none
// and hides only texts that look like secrets. After the last Add, it is safe for
// concurrent use.
type Secrets struct {
	known known
	paths map[string]bool // of keys with secrets, starting with the section
}

// AddComponent adds the secrets in the decoded configuration of a component. path
// is its key path, such as exporters::otlp_http/x. AddComponent does not modify
// the configuration.
func (s *Secrets) AddComponent(path string, config any) {
	configwalk.Walk(config, func(at configwalk.Path, v reflect.Value) bool {
		text, is := configwalk.Text(v)
		if !is || text == "" {
			return true
		}
		switch {
		case secretType(v.Type()):
			s.addPath(path + at.String())
			s.add(name(at), text)
		case secretAt(at):
			s.add(name(at), text)
		default:
			s.addURL(text)
		}
		return true
	})
}

// Of returns the secrets of a decoded configuration.
func Of(cfg *otelcol.Config) *Secrets {
	s := new(Secrets)
	s.AddComponents(cfg)
	return s
}

// AddComponents adds the secrets of the components of a configuration, and of the
// collector's own telemetry.
func (s *Secrets) AddComponents(cfg *otelcol.Config) {
	for section, configs := range map[string]map[component.ID]component.Config{
		"receivers": cfg.Receivers, "processors": cfg.Processors, "exporters": cfg.Exporters,
		"connectors": cfg.Connectors, "extensions": cfg.Extensions,
	} {
		for id, config := range configs {
			s.AddComponent(section+confmap.KeyDelimiter+id.String(), config)
		}
	}
	s.AddComponent("service::telemetry", cfg.Service.Telemetry)
}

// AddConfig adds the secrets of a configuration map, found by their keys. It does
// not modify the map. It ignores ${…}, which refer to secrets whose value is not
// known.
func (s *Secrets) AddConfig(m map[string]any) {
	r := reader{found: s}
	r.value(m, place{}, 0)
}

// secretType reports whether all values of a type are secrets.
func secretType(t reflect.Type) bool {
	return t == reflect.TypeFor[configopaque.String]() || t == reflect.TypeFor[commonconfig.Secret]() ||
		t.Kind() == reflect.String && t.Name() == "Secret"
}

func name(at configwalk.Path) string {
	for i := len(at) - 1; i >= 0; i-- {
		if !at[i].Item {
			return at[i].Name
		}
	}
	return ""
}

// fields stands in for the siblings of a struct's field: a key that describes a
// value has a sibling called value.
var fields = map[string]any{"value": nil}

// secretAt reports whether the value at a path is a secret, by its keys.
func secretAt(at configwalk.Path) bool {
	var p place
	for _, key := range at {
		switch {
		case key.Item:
		case key.Free:
			p = p.child(key.Name, nil)
		default:
			p = p.child(key.Name, fields)
		}
	}
	return p.secret
}

func (s *Secrets) addPath(path string) {
	if s.paths == nil {
		s.paths = map[string]bool{}
	}
	s.paths[path] = true
}

// add adds a known secret. name is its key, header or parameter.
func (s *Secrets) add(name, text string) {
	text = strings.TrimSpace(text)
	switch {
	case len(text) < minLength, text == Mask, text == "<secret>", onlyReferences(text), withDefault.MatchString(text):
		return
	case harmlessHeaders[strings.ToLower(name)]:
		return
	case len(text) < wordLength && !isSecretName(name):
		return // a common word, such as no-cache in a header
	}
	if _, err := strconv.ParseBool(text); err == nil {
		return
	}
	if s.known == nil {
		s.known = known{}
	}
	// As written, as part of a URL, and quoted.
	for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text), strings.Trim(strconv.Quote(text), `"`)} {
		s.known.add(form)
	}
	if scheme, rest, both := strings.Cut(text, " "); both && len(scheme) <= len("digest") && len(rest) >= wordLength {
		s.known.add(rest) // the x of Bearer x
	}
}

// addURL adds the password and the secret parameters of a URL.
func (s *Secrets) addURL(text string) {
	if !strings.Contains(text, "://") {
		return
	}
	u, err := url.Parse(text)
	if err != nil {
		return
	}
	if password, has := u.User.Password(); has {
		s.add("password", password)
	}
	for name, values := range u.Query() {
		if isSecretParameter(name) {
			for _, v := range values {
				s.add(name, v)
			}
		}
	}
}

// Text returns a text, such as an error's, in which known secrets and whatever
// looks like one are masked.
func (s *Secrets) Text(text string) string {
	return patterns(s.withoutKnown(text))
}

func (s *Secrets) withoutKnown(text string) string {
	if s == nil {
		return text
	}
	return s.known.hide(text)
}

// Map returns a copy of a configuration (as written, resolved, or with defaults)
// in which secrets are masked. References such as ${env:TOKEN} stay: they say where
// a secret comes from but not its value.
func (s *Secrets) Map(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	r := reader{hide: s, masking: true}
	return r.value(m, place{}, 0).(map[string]any)
}

// Conf is Map for a confmap.Conf. It returns nil if conf is nil.
func (s *Secrets) Conf(conf *confmap.Conf) *confmap.Conf {
	if conf == nil {
		return nil
	}
	return confmap.NewFromStringMap(s.Map(conf.ToStringMap()))
}

// place is the position of a value in a configuration.
type place struct {
	path      string
	key       string // last named key; a list item has the list's key
	under     string // the key above it
	container bool   // below one of containers
	secret    bool   // holds a secret, by its keys
	ids       bool   // holds names of components
}

// child returns the place of the entry with the given name. beside are the keys
// of the same map, nil if they are not known.
func (p place) child(name string, beside map[string]any) place {
	at := place{path: name, key: strings.ToLower(name), under: p.key, container: p.container || containers[p.key]}
	if p.path != "" {
		at.path = p.path + confmap.KeyDelimiter + name
	}
	at.ids = p.ids || at.path == "service::pipelines" || at.path == "service::extensions"
	switch {
	case isSecretName(name), at.key == inlineKey && p.key == htpasswdKey:
		at.secret = true
	case at.container:
		at.secret = at.containerSecret(beside)
	case values[at.key]:
		at.secret = isDescribed(beside)
	}
	return at
}

// containerSecret reports whether a key below a container holds a secret. All do,
// except the keys that, in a list of names and values or in Prometheus'
// http_headers, name the value or the file it is in.
func (p place) containerSecret(beside map[string]any) bool {
	switch p.key {
	case "files", "from_context", "from_attribute", "action", "value_file", "default_value_file":
		return false
	case "key", "name":
		for name := range values {
			if _, is := beside[name]; is {
				return false
			}
		}
		return beside["from_context"] == nil && beside["from_attribute"] == nil && beside["action"] == nil && beside["value_file"] == nil
	}
	return true
}

// isDescribed reports whether a key beside a value names it as a secret.
func isDescribed(beside map[string]any) bool {
	for _, key := range describing {
		if text, is := beside[key].(string); is && isSecretName(text) {
			return true
		}
	}
	return false
}

// reader walks a configuration, either to find its secrets or to copy it without
// them.
type reader struct {
	found   *Secrets // receives the secrets; nil if masking
	hide    *Secrets // known secrets to mask; may be nil
	masking bool
}

func (r reader) value(v any, p place, depth int) any {
	if depth > maxDepth {
		return Mask
	}
	switch v := v.(type) {
	case map[string]any:
		if v == nil {
			return v
		}
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = r.value(inner, p.child(name, v), depth+1)
		}
		return out
	case map[any]any:
		out := make(map[any]any, len(v))
		for name, inner := range v {
			out[name] = r.value(inner, p.child(fmt.Sprint(name), nil), depth+1)
		}
		return out
	case []any:
		if v == nil {
			return v
		}
		out := make([]any, len(v))
		for i, inner := range v {
			item := p
			item.path = p.path + confmap.KeyDelimiter + strconv.Itoa(i)
			out[i] = r.value(inner, item, depth+1)
		}
		return out
	case nil, bool:
		return v
	case string:
		return r.text(v, p)
	}
	return r.typed(reflect.ValueOf(v), p, depth)
}

// typed is value for types that YAML does not produce, such as the []string in a
// marshaled configuration.
func (r reader) typed(v reflect.Value, p place, depth int) any {
	switch v.Kind() {
	case reflect.Map:
		plain := make(map[string]any, v.Len())
		for entries := v.MapRange(); entries.Next(); {
			plain[fmt.Sprint(entries.Key())] = entries.Value().Interface()
		}
		return r.value(plain, p, depth)
	case reflect.Slice, reflect.Array:
		plain := make([]any, v.Len())
		for i := range plain {
			plain[i] = v.Index(i).Interface()
		}
		return r.value(plain, p, depth)
	case reflect.String:
		return r.text(v.String(), p)
	}
	return r.other(v.Interface(), p)
}

// other is value for scalars other than text, such as numbers.
func (r reader) other(v any, p place) any {
	switch {
	case !r.masking && p.secret:
		r.found.add(p.key, fmt.Sprint(v))
	case r.masking && (p.secret || r.hide.isPath(p.path)):
		return Mask
	}
	return v
}

func (r reader) text(text string, p place) any {
	if !r.masking {
		if p.secret {
			r.found.add(p.key, text)
		} else {
			r.found.addURL(text)
		}
		return nil
	}
	switch {
	case p.secret || r.hide.isPath(p.path):
		return masked(text)
	case p.ids:
		return text
	}
	return leaf(r.hide.withoutKnown(text))
}

func (s *Secrets) isPath(path string) bool { return s != nil && s.paths[path] }
