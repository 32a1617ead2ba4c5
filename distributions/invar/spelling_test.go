package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service/hostcapabilities"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"
	"github.com/invar-otel/invar/internal/config/configwalk"
)

// binaryHost is a host with the factories of the binary.
type binaryHost struct {
	component.Host
	factories otelcol.Factories
}

var _ hostcapabilities.ComponentFactory = binaryHost{}

func (h binaryHost) GetFactory(kind component.Kind, name component.Type) component.Factory {
	f := factoryOf(h.factories, strings.ToLower(kind.String()), name)
	if f == nil || reflect.ValueOf(f).IsZero() {
		return nil
	}
	return f
}

// judge applies the rules to pipelines from a fleet server, with the components of
// the binary.
type judge struct {
	factories otelcol.Factories
	runner    *remotepipelines.Runner
}

func newJudge(t *testing.T, rules confinement.Rules) judge {
	t.Helper()
	f, err := components()
	if err != nil {
		t.Fatal(err)
	}
	if err := rules.Validate(); err != nil {
		t.Fatal(err)
	}
	runner := remotepipelines.New(remotepipelines.Settings{Host: binaryHost{componenttest.NewNopHost(), f}, Rules: &rules})
	t.Cleanup(func() {
		if err := runner.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return judge{f, runner}
}

// body returns a pipeline with one component, as a server sends it.
func body(t *testing.T, kind, name string, config any) []byte {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{kind + "s": map[string]any{name: config}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refused returns the error with which the rules refuse a pipeline. It returns nil for
// a pipeline that is invalid for other reasons.
func (j judge) refused(t *testing.T, text []byte) error {
	t.Helper()
	var failure *remotepipelines.Failure
	if err := j.runner.Check(t.Context(), "p", text); errors.As(err, &failure) && failure.Stage == remotepipelines.StageRestrictions {
		return err
	}
	return nil
}

// passes reports whether a pipeline reaches the components' validation: the rules
// accept it, and its values have the right types.
func (j judge) passes(t *testing.T, text []byte) bool {
	t.Helper()
	err := j.runner.Check(t.Context(), "p", text)
	var failure *remotepipelines.Failure
	if !errors.As(err, &failure) {
		return true
	}
	if failure.Stage == remotepipelines.StageRestrictions {
		return false
	}
	return !wrongType.MatchString(err.Error())
}

// wrongType matches the errors of confmap's and Prometheus' decoders about a map or
// list in place of a text.
var wrongType = regexp.MustCompile(`expected type|unconvertible type|cannot unmarshal|expected a map|cannot be used as a Conf|source data must be an array`)

// decoded returns the configuration that a component gets, using upstream's resolver
// and decoder with the providers that the rules permit.
func (j judge) decoded(t *testing.T, s setting, text []byte) (component.Config, error) {
	t.Helper()
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              []string{"yaml:" + string(text)},
		ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory(), envprovider.NewFactory()},
		DefaultScheme:     "env",
	})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := resolver.Resolve(t.Context())
	if err != nil {
		return nil, err
	}
	section, err := conf.Sub(s.kind + "s")
	if err != nil {
		return nil, err
	}
	own, err := section.Sub(s.name)
	if err != nil {
		return nil, err
	}
	return decodes(factoryOf(j.factories, s.kind, component.MustNewType(s.name)), own)
}

// arrived returns the texts in a configuration that contain part.
func arrived(config any, part string) []string {
	var found []string
	configwalk.Walk(config, func(_ configwalk.Path, v reflect.Value) bool {
		if text, is := configwalk.Text(v); is && strings.Contains(text, part) {
			found = append(found, text)
		}
		return true
	})
	return found
}

// payloads are values that a rule refuses at some key, each with a part that
// identifies it.
var payloads = []string{"/etc/shadow", "unix:///run/s.sock", `EXPR(env("S"))`, "kubeConfig"}

// spellings are ways to write a payload P for which the YAML value differs from the
// text that a text field gets, or that hide the text until it is expanded.
var spellings = []string{
	`P`, `${yaml:P}`, `${yaml:${yaml:P}}`, `${yaml:# P}`, `${yaml:#P}`, `${yaml:P: x}`, `${yaml:P?x: y}`, `${yaml:? P}`,
	`${yaml:[P]}`, `${yaml:[P, 1]}`, `${yaml:- P}`, `${yaml:~ # P}`, `${yaml:null # P}`, `${yaml:1 # P}`, `${yaml:true # P}`, `${yaml:.5 # P}`,
	`${yaml:2020-01-01 # P}`, `${yaml:0x1F # P}`, `${yaml:"P"}`, `${yaml:'P'}`, `${yaml:!!str P}`, `${yaml:!!null P}`, `${yaml:&a P}`,
	"${yaml:# P\n}", "${yaml:\n# P}", "${yaml:1\n# P}", "${yaml:P\n...\n}", `${yaml:--- P}`, `${yaml:--- # P}`, "${yaml:|\n  P}", "${yaml:>-\n  P}",
	`${yaml:# }P`, `P${yaml:# x}`, `${yaml:# }${yaml:P}`, `${yaml:${yaml:# P}}`, `${yaml:1 # ${yaml:P}}`, `${env:NONE:-# P}`, `${NONE:-1 # P}`,
	`${env:NONE:-P: x}`, `${env:NONE:-[P]}`, `${env:BOTH}`,
}

// TestSpellings tries every text of every component with each spelling. If a plain
// value is refused, every spelling of which the component would get the same value
// must be refused.
func TestSpellings(t *testing.T) {
	t.Setenv("BOTH", "1 # unix:///run/s.sock EXPR(env(\"S\")) /etc/shadow")
	// The test is about files, sockets and expressions.
	rules := confinement.Rules{AllowedComponents: []string{"*"}, AllowedProviders: []string{"file"}, AllowedPaths: []string{t.TempDir()}}
	withEnv := rules
	withEnv.AllowedProviders = []string{"env"}
	j, jEnv := newJudge(t, rules), newJudge(t, withEnv)
	var tried, refused, reached int
	for i, s := range settings(t) {
		switch s.id() {
		case "extension/remote_config", "extension/opamp", "extension/reload": // never
			continue
		case "extension/sigv4auth": // its validation asks AWS
			continue
		}
		if !s.isText() || s.key() == "lane_reason" { // which a converter writes
			continue
		}
		tried++
		payload := payloads[i%len(payloads)]
		if s.key() == "auth_type" {
			payload = "kubeConfig"
		}
		if confinement.HostKey(s.id(), s.key()) {
			payload = "/etc/shadow"
		}
		plain := j.refused(t, body(t, s.kind, s.name, s.set(payload)))
		if plain != nil {
			refused++
		}
		for k, spelling := range spellings {
			if plain == nil && (i+k)%13 != 0 || (i+k)%6 != 0 {
				continue // each is tried with hundreds of keys
			}
			at := j
			if strings.Contains(spelling, "NONE") || strings.Contains(spelling, "BOTH") {
				at = jEnv
			}
			text := body(t, s.kind, s.name, s.set(strings.ReplaceAll(spelling, "P", payload)))
			config, err := j.decoded(t, s, text)
			if err != nil {
				continue
			}
			texts := arrived(config, payload)
			if len(texts) > 0 {
				reached++
			}
			for _, got := range texts {
				// The text that arrives, quoted, without any spelling.
				quoted := at.refused(t, body(t, s.kind, s.name, s.set(strings.ReplaceAll(got, "$", "$$"))))
				if quoted != nil && at.passes(t, text) {
					t.Errorf("%s: %s passes, and is decoded to %q, of which the rules say: %v", s, spelling, got, quoted)
				}
			}
		}
	}
	t.Logf("%d texts, %d with a value that is refused; %d spellings arrived", tried, refused, reached)
	if tried < 1500 || refused < 300 || reached < 4000 {
		t.Errorf("only %d texts tried, %d refused, %d spellings arrived", tried, refused, reached)
	}
}

// TestNullIsChecked compares null with an empty map. The rules must treat them alike
// where a component does.
func TestNullIsChecked(t *testing.T) {
	j := newJudge(t, confinement.Rules{})
	var same, refused int
	for _, s := range settings(t) {
		if s.isText() || !slices.Contains(confinement.DefaultComponents(), s.id()) {
			continue
		}
		empty := body(t, s.kind, s.name, s.set(map[string]any{}))
		wanted, err := j.decoded(t, s, empty)
		if err != nil {
			continue
		}
		why := j.refused(t, empty)
		for _, null := range []any{nil, "${yaml:}", "${yaml:~}", "${yaml:# x}", "${yaml:\n}"} {
			text := body(t, s.kind, s.name, s.set(null))
			got, err := j.decoded(t, s, text)
			if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", wanted) {
				continue
			}
			same++
			if why == nil {
				continue
			}
			refused++
			if j.passes(t, text) {
				t.Errorf("%s: %v passes; of an empty map the rules say: %v", s, null, why)
			}
		}
	}
	t.Logf("%d keys take null for an empty map, %d of them are refused", same, refused)
	if same < 300 || refused < 5 {
		t.Errorf("only %d keys take null for an empty map, %d refused", same, refused)
	}
}

// TestOrdinaryExpansions checks spellings that people use, with env permitted.
func TestOrdinaryExpansions(t *testing.T) {
	t.Setenv("PASSWORD", "012345")
	t.Setenv("HOST", "otel.example.com")
	t.Setenv("SIZE", "100")
	t.Setenv("EMPTY", "")
	t.Setenv("ODD", "# not a comment")
	t.Setenv("TARGETS", "[a:1, b:2]")
	j := newJudge(t, confinement.Rules{AllowedProviders: []string{"env"}})
	err := j.runner.Check(t.Context(), "p", []byte(`
receivers:
  otlp: {protocols: {grpc: {endpoint: "127.0.0.1:4317", auth: {authenticator: basicauth/server}}}}
  host_metrics: {collection_interval: "${env:INTERVAL:-30s}", scrapers: {cpu: , memory: {}, disk: null}}
  prometheus_scrape: {config: {scrape_configs: [{job_name: "${env:HOST}", static_configs: [{targets: "${env:TARGETS}", labels: {x: "${env:SIZE}"}}]}]}}
processors:
  resource_detection: {detectors: [system, ec2, gcp], ec2: {tags: [a], tags_from_imds: true}}
  k8s_attributes: {auth_type: serviceAccount}
exporters:
  otlp_http: {endpoint: "https://${env:HOST}:4318", headers: {Authorization: "Bearer ${env:PASSWORD}", X-Scope-OrgID: "${env:SIZE}", X: "${env:ODD}", Y: "${yaml:8}"},
    sending_queue: {queue_size: "${env:SIZE}", enabled: "${env:ON:-true}"}, compression: "${env:EMPTY}", auth: {authenticator: basicauth/client}}
  debug:
extensions:
  basicauth/client: {client_auth: {username: "${env:SIZE}", password: "${env:PASSWORD}"}}
  basicauth/server: {htpasswd: {inline: "a:${PASSWORD}"}}
service:
  extensions: [basicauth/client, basicauth/server]
  pipelines: {metrics: {receivers: [otlp, host_metrics, prometheus_scrape], processors: [resource_detection], exporters: [otlp_http, debug]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("PASSWORD") != "012345" {
		t.Fatal("the environment was changed")
	}
}
