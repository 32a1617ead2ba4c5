package main

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	commonconfig "github.com/prometheus/common/config"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/internal/config/redaction"
)

var (
	// looksSecret and notSecret classify names independently of the redaction.
	looksSecret = regexp.MustCompile(`(?i)password|passphrase|secret|token|credential|(api|access|private|hmac|account|application|consumer)_?key$|_key_pem|^key_pem|dsn|cookie|bearer`)
	notSecret   = regexp.MustCompile(`(?i)(_file|_file_path|_path|_url|_ref|_source|_name|_id|_type|_key_id|_keys|cert_pem)$|credential_name|extra_metadata`)
	// sent are maps whose values are sent unchanged.
	sent = []string{"headers", "params", "endpoint_params", "proxy_connect_header", "record_headers", "response_headers", "connection_params", "http_headers"}
)

// isSecret reports whether a setting's value must not be shown.
func isSecret(s setting) bool {
	if s.typ == reflect.TypeFor[configopaque.String]() || s.typ == reflect.TypeFor[commonconfig.Secret]() {
		return true
	}
	if looksSecret.MatchString(s.key()) && !notSecret.MatchString(s.key()) && s.typ.Kind() == reflect.String {
		return true
	}
	// Values of maps, except the keys next to a value in a list of them.
	for i, name := range s.path[:len(s.path)-1] {
		if slices.Contains(sent, name) && s.path[i+1] == "*" && s.typ.Kind() == reflect.String && s.key() != "files" {
			return true
		}
	}
	return false
}

// sectionOf returns a configuration of one component.
func sectionOf(s setting, config component.Config) *otelcol.Config {
	all := map[component.ID]component.Config{component.MustNewID(s.name): config}
	switch s.kind {
	case "receiver":
		return &otelcol.Config{Receivers: all}
	case "processor":
		return &otelcol.Config{Processors: all}
	case "exporter":
		return &otelcol.Config{Exporters: all}
	case "connector":
		return &otelcol.Config{Connectors: all}
	}
	return &otelcol.Config{Extensions: all}
}

// shown returns everything that is shown or reported about a configuration with one
// setting, by kind. It returns nil if the component does not accept the setting.
func shown(t *testing.T, f otelcol.Factories, s setting, value any, reason string) map[string]string {
	t.Helper()
	written := confmap.NewFromStringMap(map[string]any{s.kind + "s": map[string]any{s.name: s.set(value)}})
	own, err := written.Sub(s.kind + "s::" + s.name)
	if err != nil {
		return nil
	}
	config, err := decodes(factoryOf(f, s.kind, component.MustNewType(s.name)), own)
	if err != nil {
		return nil
	}
	effective := confmap.New()
	if err := effective.Marshal(config); err != nil {
		return nil
	}
	effective = confmap.NewFromStringMap(map[string]any{s.kind + "s": map[string]any{s.name: effective.ToStringMap()}})
	secrets := redaction.Of(sectionOf(s, config))
	secrets.AddConfig(written.ToStringMap())
	var unread *redaction.Secrets
	text := func(m map[string]any) string {
		out, err := yaml.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	return map[string]string{
		"as written":         text(secrets.Map(written.ToStringMap())),
		"with defaults":      text(secrets.Map(effective.ToStringMap())),
		"in print-config":    text(unread.Map(effective.ToStringMap())),
		"in an error's text": secrets.Text(reason),
	}
}

// TestSecretsAreHidden plants a secret at every key that holds one, in every
// component, and a password in a URL at every key with a text.
func TestSecretsAreHidden(t *testing.T) {
	f, err := components()
	if err != nil {
		t.Fatal(err)
	}
	var hidden, urls int
	for i, s := range settings(t) {
		if !s.isText() {
			continue
		}
		planted := fmt.Sprintf("planted-%d-here", i)
		if isSecret(s) {
			if all := shown(t, f, s, planted, "rejected "+planted+": 401"); all != nil {
				hidden++
				for where, text := range all {
					if strings.Contains(text, planted) {
						t.Errorf("%s is shown %s:\n%s", s, where, text)
					}
				}
			}
		}
		link := fmt.Sprintf("https://user:%s@host.example/p?x=1&access_token=%s-too", planted, planted)
		if all := shown(t, f, s, link, `Post "`+link+`": EOF`); all != nil {
			urls++
			for where, text := range all {
				if strings.Contains(text, planted) {
					t.Errorf("a URL's password at %s is shown %s:\n%s", s, where, text)
				}
			}
		}
	}
	t.Logf("%d secrets and %d passwords in URLs are hidden", hidden, urls)
	if hidden < 150 || urls < 1000 {
		t.Errorf("only %d secrets and %d URLs were planted", hidden, urls)
	}
}

// TestConfigurationsStayReadable checks that no default value is masked.
func TestConfigurationsStayReadable(t *testing.T) {
	for _, p := range parts(t) {
		if p.config == nil || p.name != p.current {
			continue
		}
		effective := confmap.New()
		if err := effective.Marshal(p.config); err != nil {
			t.Fatal(err)
		}
		var none *redaction.Secrets
		given, err := yaml.Marshal(effective.ToStringMap())
		if err != nil {
			t.Fatal(err)
		}
		got, err := yaml.Marshal(none.Map(effective.ToStringMap()))
		if err != nil {
			t.Fatal(err)
		}
		if string(given) != string(got) {
			t.Errorf("%s: the defaults are masked:\n%s\nwere\n%s", p.id(), got, given)
		}
	}
}
