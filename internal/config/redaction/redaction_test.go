package redaction

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &m))
	return m
}

// Everything that contains planted is a secret; everything else must stay.
func TestMap(t *testing.T) {
	f := func(given, want string) {
		t.Helper()
		var none *Secrets
		m := parse(t, given)
		before := fmt.Sprint(m)
		require.Equal(t, parse(t, want), none.Map(m))
		require.Equal(t, before, fmt.Sprint(m), "the map was changed")
		require.NotContains(t, fmt.Sprint(none.Map(m)), "planted")
	}
	same := func(text string) { t.Helper(); f(text, text) }

	f(`exporters: {otlp_http: {endpoint: "https://a:4318", headers: {Authorization: Bearer planted-1, X-Scope-OrgID: planted}}}`,
		`exporters: {otlp_http: {endpoint: "https://a:4318", headers: {Authorization: "[REDACTED]", X-Scope-OrgID: "[REDACTED]"}}}`)
	f(`exporters: {otlp_http: {headers: [{name: Authorization, value: planted-1}, {name: X-A, value: 7}]}}`,
		`exporters: {otlp_http: {headers: [{name: Authorization, value: "[REDACTED]"}, {name: X-A, value: "[REDACTED]"}]}}`)
	f(`extensions: {headers_setter: {headers: [{action: upsert, key: X-Token, value: planted-1, default_value: planted-2}, {key: X-T, from_context: tenant}]}}`,
		`extensions: {headers_setter: {headers: [{action: upsert, key: X-Token, value: "[REDACTED]", default_value: "[REDACTED]"}, {key: X-T, from_context: tenant}]}}`)
	f(`receivers: {prometheus: {config: {scrape_configs: [{job_name: a, basic_auth: {username: u, password: planted-1}, authorization: {type: Bearer, credentials: planted-2},
		params: {token: [planted-3], module: [planted]}, proxy_url: "http://u:planted-5@p:3128", oauth2: {client_id: i, client_secret: planted-6, token_url: "https://a/t", endpoint_params: {x: planted-7}},
		http_headers: {X-A: {values: [planted-8], secrets: [planted-9], files: [/etc/a]}}, bearer_token: planted-10, bearer_token_file: /etc/token}]}}}`,
		`receivers: {prometheus: {config: {scrape_configs: [{job_name: a, basic_auth: {username: u, password: "[REDACTED]"}, authorization: {type: Bearer, credentials: "[REDACTED]"},
		params: {token: ["[REDACTED]"], module: ["[REDACTED]"]}, proxy_url: "http://u:[REDACTED]@p:3128", oauth2: {client_id: i, client_secret: "[REDACTED]", token_url: "https://a/t", endpoint_params: {x: "[REDACTED]"}},
		http_headers: {X-A: {values: ["[REDACTED]"], secrets: ["[REDACTED]"], files: [/etc/a]}}, bearer_token: "[REDACTED]", bearer_token_file: /etc/token}]}}}`)
	f(`extensions: {basicauth/x: {htpasswd: {file: /etc/h, inline: "a:planted"}, client_auth: {username: u, password: 12345}}, bearertokenauth: {token: planted-1, tokens: [planted-2], scheme: Bearer}}`,
		`extensions: {basicauth/x: {htpasswd: {file: /etc/h, inline: "[REDACTED]"}, client_auth: {username: u, password: "[REDACTED]"}}, bearertokenauth: {token: "[REDACTED]", tokens: ["[REDACTED]"], scheme: Bearer}}`)
	f(`processors: {attributes: {actions: [{key: db.password, value: planted, action: insert}, {key: env, value: prod, action: insert}]}}`,
		`processors: {attributes: {actions: [{key: db.password, value: "[REDACTED]", action: insert}, {key: env, value: prod, action: insert}]}}`)
	f(`receivers: {x: {data_source: "user=a password=planted-1 host=b", dsn: planted-2, url: "mysql://u:planted-3@h/db?x=1&token=planted-4", host: "u:planted-5@tcp(h:3306)/db",
		azure: "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=planted-6==;EntityPath=e", connection_string: planted-7}}`,
		`receivers: {x: {data_source: "user=a password=[REDACTED] host=b", dsn: "[REDACTED]", url: "mysql://u:[REDACTED]@h/db?x=1&token=[REDACTED]", host: "u:[REDACTED]@tcp(h:3306)/db",
		azure: "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=[REDACTED];EntityPath=e", connection_string: "[REDACTED]"}}`)
	f(`service: {telemetry: {metrics: {readers: [{periodic: {exporter: {otlp: {endpoint: "http://h/write?u=a&p=planted", headers_list: "x=planted,y=planted", headers: [{name: x, value: planted}]}}}}]}},
		x: {password1: planted, clientSecret: planted, "api-key": planted, X-API-Key: planted, db_pass: planted, AccessToken: planted, compass: north, keys: [a]}}`,
		`service: {telemetry: {metrics: {readers: [{periodic: {exporter: {otlp: {endpoint: "http://h/write?u=a&p=[REDACTED]", headers_list: "[REDACTED]", headers: [{name: x, value: "[REDACTED]"}]}}}}]}},
		x: {password1: "[REDACTED]", clientSecret: "[REDACTED]", "api-key": "[REDACTED]", X-API-Key: "[REDACTED]", db_pass: "[REDACTED]", AccessToken: "[REDACTED]", compass: north, keys: [a]}}`)
	f(`exporters: {a: {tls: {cert_pem: "c", key_pem: "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----"}, other: "x -----BEGIN RSA PRIVATE KEY-----\nplanted"}}`,
		`exporters: {a: {tls: {cert_pem: "c", key_pem: "[REDACTED]"}, other: "x [REDACTED]"}}`)

	// References stay; their defaults and literals are masked.
	f(`exporters: {a: {token: "${env:TOKEN}", password: "${TOKEN}", secret: "${file:/etc/s}", headers: {a: "Bearer ${env:T}", b: "${env:T:-planted}", c: "x${env:T}planted", d: "$${planted}", e: "${yaml:planted}"}}}`,
		`exporters: {a: {token: "${env:TOKEN}", password: "${TOKEN}", secret: "${file:/etc/s}", headers: {a: "Bearer ${env:T}", b: "${env:T:-[REDACTED]}", c: "[REDACTED]", d: "[REDACTED]", e: "[REDACTED]"}}}`)
	f(`exporters: {a: {endpoint: "https://u:${env:PW}@h/?token=${env:T}", b: "https://planted@h", c: "https://${env:U}@h"}}`,
		`exporters: {a: {endpoint: "https://u:${env:PW}@h/?token=${env:T}", b: "https://[REDACTED]@h", c: "https://${env:U}@h"}}`)

	same(`{receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:4317", include_metadata: true, max_recv_msg_size_mib: 4}}}}, service: {extensions: [basicauth/token], pipelines: {logs: {receivers: [otlp], exporters: [otlp/password]}}}}`)
	same(`{exporters: {a: {auth: {authenticator: basicauth/client}, sending_queue: {enabled: true, sizer: items, storage: file_storage}, tls: {ca_file: /etc/ca, key_file: /etc/key}}}}`)
	same(`{processors: {filter: {logs: {log_record: ['attributes["token"] == "x"', 'IsMatch(body, "a=b")']}}, redaction: {allow_all_keys: true, blocked_key_patterns: [".*token.*"]}}}`)
	same(`{receivers: {kafka: {topic: a, header_extraction: {headers: [a, b]}}}, exporters: {load_balancing: {routing_key: service}, x: {oauthbearer_token_source: oauth2client, token_file: /a, client_secret_file: /b, max_tokens: 5}}}`)
	same(`{a: , b: [], c: {}, d: [null], e: [1, 2.5, true]}`)
}

type opaqueConfig struct {
	Odd     configopaque.String  `mapstructure:"odd"`
	Prom    commonconfig.Secret  `yaml:"prom"`
	Headers configopaque.MapList `mapstructure:"headers"`
	URL     commonconfig.URL     `yaml:"url"`
	Name    string               `mapstructure:"name"`
	Setter  []setter             `mapstructure:"setters"`
}

type setter struct {
	Key   string `mapstructure:"key"`
	Token string `mapstructure:"token"`
}

func TestKnownSecrets(t *testing.T) {
	u, err := url.Parse("https://u:pass%2Fword1@h/?api_key=querysecret&x=y")
	require.NoError(t, err)
	var s Secrets
	s.AddComponent("exporters::a/b", &opaqueConfig{
		Odd: "oddsecret", Prom: "promsecret", Name: "visible-name", URL: commonconfig.URL{URL: u},
		Headers: configopaque.MapList{{Name: "Authorization", Value: "Bearer headersecret"}, {Name: "X-Scope-OrgID", Value: "tenantname"}, {Name: "Cache-Control", Value: "no"}},
		Setter:  []setter{{Key: "Authorization", Token: "tiny"}},
	})
	f := func(text, want string) {
		t.Helper()
		require.Equal(t, want, s.Text(text))
	}
	f("dial: oddsecret, promsecretx: headersecret", "dial: [REDACTED], [REDACTED]x: [REDACTED]")
	f("Bearer headersecret", "[REDACTED]")
	f("pass/word1 and pass%2Fword1 and querysecret", "[REDACTED] and [REDACTED] and [REDACTED]")
	f("visible-name of tenantname, no Authorization", "visible-name of tenantname, no Authorization")
	f("tiny is a word, destiny is not; tiny", "[REDACTED] is a word, destiny is not; [REDACTED]")

	// Masked by type at the same path, although no name says so, and by value elsewhere.
	got := s.Map(parse(t, `exporters: {a/b: {odd: "x${env:A}y", prom: 5}, a/c: {odd: plain, note: "uses oddsecret"}}`))
	require.Equal(t, parse(t, `exporters: {a/b: {odd: "[REDACTED]", prom: "[REDACTED]"}, a/c: {odd: plain, note: "uses [REDACTED]"}}`), got)

	var byKey Secrets
	byKey.AddConfig(parse(t, `{exporters: {a: {password: 1234567, headers: {X: longsecret}, endpoint: "https://u:urlsecret@h"}}, processors: {p: {actions: [{key: api_token, value: actionsecret}]}}}`))
	require.Equal(t, "'password' expected type 'string', got 'int', value: '[REDACTED]'; [REDACTED] [REDACTED] [REDACTED]",
		byKey.Text("'password' expected type 'string', got 'int', value: '1234567'; longsecret urlsecret actionsecret"))
}

func TestText(t *testing.T) {
	var none *Secrets
	f := func(text, want string) {
		t.Helper()
		require.Equal(t, want, none.Text(text))
		require.Equal(t, want, none.Text(want), "masking twice changes it")
	}
	same := func(text string) { t.Helper(); f(text, text) }
	f(`Post "https://user:p@ss@host:1/push?token=abc&x=1": dial tcp`, `Post "https://user:[REDACTED]@host:1/push?token=[REDACTED]&x=1": dial tcp`)
	f(`oauth2: cannot fetch token: 401 Response: {"access_token":"abc","expires_in":5, "refresh_token" : "d"}`,
		`oauth2: cannot fetch token: 401 Response: {"access_token":"[REDACTED]","expires_in":5, "refresh_token" : "[REDACTED]"}`)
	f(`body "{\"client_secret\":\"abc\",\"a\":\"b\"}"`, `body "{\"client_secret\":\"[REDACTED]\",\"a\":\"b\"}"`)
	f("Authorization: Basic dXNlcjpwdw==", "Authorization: [REDACTED]")
	f(`map[Authorization:[Bearer abc.def] X:[y]]`, `map[Authorization:[[REDACTED]] X:[y]]`)
	f("said Bearer abcdefghijklmnop.q", "said Bearer [REDACTED]")
	f("got eyJhbGciOi.eyJzdWIiOiIx.c2ln", "got [REDACTED]")
	f("GET http://h/?key=abc&sig=d%2F", "GET http://h/?key=[REDACTED]&sig=[REDACTED]")
	same("pipelines::a: parse: exporters::otlp_http::auth: no authenticator \"basicauth\"")
	same("receivers::prometheus: token_url is not a URL: http://h:1/token")
	same("rpc error: code = Unauthenticated desc = bad token, status code=401 key=a")
	same("2026-11-28T10:00:00Z a@b.example said: x=1 y==2")
}

func TestError(t *testing.T) {
	var s Secrets
	s.AddConfig(map[string]any{"a": map[string]any{"password": "planted-here"}})
	cause := fmt.Errorf("refused planted-here: %w", io.EOF)
	err := s.Error(cause)
	require.EqualError(t, err, "refused [REDACTED]: EOF")
	require.ErrorIs(t, err, io.EOF)
	var none *Secrets
	require.NoError(t, none.Error(nil))
	require.EqualError(t, none.Error(io.EOF), "EOF")
}

// The cost of hiding does not grow with the number of secrets, which a server's
// configuration decides, whether or not they begin alike.
func TestManySecrets(t *testing.T) {
	var s Secrets
	headers := map[string]any{}
	for i := range 20_000 {
		headers[fmt.Sprintf("a%d", i)] = fmt.Sprintf("%x-planted", i*7919)
		headers[fmt.Sprintf("b%d", i)] = fmt.Sprintf("same-%d-planted", i)
	}
	m := map[string]any{"exporters": map[string]any{"a": map[string]any{"headers": headers}}}
	s.AddConfig(m)
	require.Equal(t, "a [REDACTED] b", s.Text(fmt.Sprintf("a %x-planted b", 7919*19_999)))
	require.Equal(t, "a [REDACTED] b", s.Text("a same-19999-planted b"))
	text := strings.Repeat("same-1-plante ", 10_000)
	require.NotContains(t, s.Text(text), "same-1")
	require.NotContains(t, fmt.Sprint(s.Map(m)), "planted")
}

func TestDeepMapsAreMasked(t *testing.T) {
	deep := map[string]any{"password": "planted"}
	for range 100_000 {
		deep = map[string]any{"a": []any{deep}}
	}
	var s Secrets
	s.AddConfig(deep)
	require.NotContains(t, fmt.Sprint(s.Map(deep)), "planted")
}

// A marshaled configuration has types that a file does not have.
func TestTypes(t *testing.T) {
	type text string
	got := (&Secrets{}).Map(map[string]any{
		"tokens": []string{"planted"}, "headers": map[text]text{"a": "planted"}, "password": text("planted"), "token": 5 * time.Second,
		"urls": []string{"https://a:planted@b", "c"}, "timeout": 5 * time.Second, "list": [2]int{1, 2},
	})
	require.Equal(t, map[string]any{
		"tokens": []any{Mask}, "headers": map[string]any{"a": Mask}, "password": Mask, "token": Mask,
		"urls": []any{"https://a:[REDACTED]@b", "c"}, "timeout": 5 * time.Second, "list": []any{1, 2},
	}, got)
}

func TestOf(t *testing.T) {
	id := component.MustNewIDWithName("a", "b")
	s := Of(&otelcol.Config{
		Exporters: map[component.ID]component.Config{id: &opaqueConfig{Odd: "oddsecret"}},
		Service:   service.Config{Telemetry: &opaqueConfig{Odd: "ownsecret"}},
	})
	given := `{exporters: {a/b: {odd: "${env:A}x"}}, service: {telemetry: {odd: a}}, receivers: {a: {b: ownsecret}}}`
	want := `{exporters: {a/b: {odd: "[REDACTED]"}}, service: {telemetry: {odd: "[REDACTED]"}}, receivers: {a: {b: "[REDACTED]"}}}`
	require.Equal(t, parse(t, want), s.Map(parse(t, given)))
}

func TestConf(t *testing.T) {
	var none *Secrets
	require.Nil(t, none.Conf(nil))
	require.Nil(t, none.Map(nil))
	require.Equal(t, Mask, none.Conf(confmap.NewFromStringMap(map[string]any{"a": map[string]any{"token": "x"}})).Get("a::token"))
}

// FuzzText looks for a known secret that survives.
func FuzzText(f *testing.F) {
	f.Add("se/cret+1", "https://u:se/cret+1@h/?token=se%2Fcret%2B1 \"se/cret+1\"")
	f.Add("a=b&c", `token=a=b&c {"token":"a=b&c"}`)
	f.Fuzz(func(t *testing.T, secret, text string) {
		secret = strings.TrimSpace(secret)
		if len(secret) < wordLength || strings.Contains(Mask, secret) || strings.Contains(secret, "${") {
			return
		}
		var s Secrets
		s.AddConfig(map[string]any{"a": map[string]any{"password": secret}})
		got := s.Text(text + secret + text)
		if strings.Contains(strings.ReplaceAll(got, Mask, "\x00"), secret) && !strings.Contains(strings.ReplaceAll(text+"\x00"+text, secret, "\x00"), secret) {
			t.Fatalf("%q survives in %q", secret, got)
		}
		_ = s.Map(map[string]any{"a": text, "b": []any{text}})
	})
}
