package confinement

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

// tree creates an allowed folder and one with a secret, and links between them.
func tree(t *testing.T) (rules Rules, root string) {
	t.Helper()
	root = t.TempDir()
	for _, dir := range []string{"allowed/sub", "secret"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "secret/key"), []byte("hidden"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "allowed/value"), []byte("localhost:4317"), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(root, "secret"), filepath.Join(root, "allowed/link")))
	require.NoError(t, os.Symlink(filepath.Join(root, "secret/new"), filepath.Join(root, "allowed/dangling")))
	require.NoError(t, os.Symlink(filepath.Join(root, "allowed/loop"), filepath.Join(root, "allowed/loop")))
	require.NoError(t, os.Symlink(filepath.Join(root, "allowed"), filepath.Join(root, "other")))
	return Rules{AllowedPaths: []string{filepath.Join(root, "allowed"), "/nowhere/exact.pem"}}, root
}

func TestCheckPath(t *testing.T) {
	rules, root := tree(t)
	f := func(path string, want string) {
		t.Helper()
		err := rules.checkPath(path)
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	in := func(path string) string { return root + "/" + path }
	f(in("allowed"), "")
	f(in("allowed/value"), "")
	f(in("allowed//sub/./new/file"), "")
	f(in("allowed/*.log"), "")
	f(in("allowed/sub/**/{a,b}[0-9]?"), "")
	f(in("other/value"), "")
	f("/nowhere/exact.pem", "")

	f(in("secret/key"), "is not within allowed_paths")
	f(in("allowed*/key"), "is not within")
	f(in("{allowed,secret}/key"), "is not within")
	f(in("allowe"), "is not within")
	f(in("allowed2/x"), "is not within")
	f("/nowhere/exact.pem2", "is not within")
	f("/*", "is not within")
	f("/", "is not within")
	f(in("allowed/../secret/key"), "contains ..")
	f(in("allowed/sub/.."), "contains ..")
	f(in("allowed/*/../../secret/key"), "contains ..")
	f(in("allowed/link/key"), "is not within")
	f(in("allowed/link/*"), "is not within")
	f(in("allowed/dangling"), "is a symbolic link to something that does not exist")
	f(in("allowed/loop/x"), "cannot be followed")
	f("allowed/value", "is not an absolute path")
	f("~/x", "is not an absolute path")
	f("", "is not an absolute path")
	f(in("allowed/value\x00"), "zero byte")

	require.ErrorContains(t, (&Rules{}).checkPath("/etc/passwd"), "no allowed_paths are set")
}

func TestPathsInConfigurations(t *testing.T) {
	rules, root := tree(t)
	rules.AllowedComponents = []string{"*"}
	allowed, secret := root+"/allowed/value", root+"/secret/key"
	for _, text := range []string{
		"exporters: {otlp: {tls: {ca_file: PATH}}}",
		"exporters: {otlp: {tls: {tpm: {path: PATH}}}}",
		"exporters: {otlp: {endpoint: 'unix://PATH'}}",
		"exporters: {otlp: {endpoint: 'UNIX:PATH'}}",
		"exporters: {otlp: {endpoint: 'passthrough:///unix://PATH'}}",
		"exporters: {otlp: {endpoint: \" unix://PATH\"}}",
		"exporters: {otlp: {endpoint: \"\\tunix:\\n//PATH\"}}",
		"exporters: {otlp: {endpoint: 'passthrough:///%252575nix://PATH'}}",
		"exporters: {otlp: {endpoint: 'passthrough:///%75nix:PATH'}}",
		"exporters: {debug: {output_paths: [stdout, PATH]}}",
		"exporters: {prometheus_wal: {wal: {directory: PATH}}}",
		"exporters: {kafka: {auth: {kerberos: {keytab_file: PATH}}}}",
		"extensions: {headers_setter: {headers: [{key: a, value_file: PATH}]}}",
		"extensions: {basicauth: {htpasswd: {file: PATH}}}",
		"extensions: {bearertokenauth: {filename: PATH}}",
		"extensions: {oauth2client: {client_secret_file: PATH}}",
		"receivers: {file_log: {include: [PATH, 'PATH*']}}",
		"receivers: {file_log: {include: 'GOOD,PATH'}}",
		"receivers: {docker_stats: {endpoint: 'unix://PATH'}}",
		"receivers: {fluent_forward: {endpoint: 'unix://PATH'}}",
		"receivers: {host_metrics: {root_path: PATH}}",
		"receivers: {jaeger: {remote_sampling: {strategy_file: PATH}}}",
		"receivers: {unheard_of: {some_new_file: PATH}}",
		"receivers: {unheard_of: {deep: [{SecretPath: PATH}]}}",
		"receivers: {prometheus: {config: {scrape_configs: [{tls_config: {ca_file: PATH}}]}}}",
		"receivers: {prometheus: {config: {scrape_configs: [{http_headers: {labels: {files: [PATH]}}}]}}}",
		"receivers: {prometheus: {config: {scrape_configs: [{kubernetes_sd_configs: [{kubeconfig_file: PATH}]}]}}}",
		"receivers: {prometheus: {config: {scrape_configs: [{file_sd_configs: [{files: [PATH]}]}]}}}",
		"receivers: {prometheus: {config: {scrape_configs: [{docker_sd_configs: [{host: 'unix://PATH'}]}]}}}",
		"receivers: {prometheus: {config: {scrape_configs: [{scrape_failure_log_file: PATH}]}}}",
	} {
		text = strings.ReplaceAll(text, "GOOD", allowed)
		check(t, rules, strings.ReplaceAll(text, "PATH", allowed), "")
		check(t, rules, strings.ReplaceAll(text, "PATH", secret), "is not within allowed_paths")
		check(t, Rules{AllowedComponents: rules.AllowedComponents}, strings.ReplaceAll(text, "PATH", secret), "no allowed_paths are set")
	}
	check(t, rules, "exporters: {otlp: {endpoint: 'unix-abstract:docker'}}", "leads to other programs")
	check(t, rules, "exporters: {otlp: {endpoint: 'unix:@docker'}}", "leads to other programs")
	check(t, rules, "exporters: {prometheus_wal: {endpoint: 'http://x'}}", "exporters::prometheus_wal::wal::directory: is not set")
	check(t, rules, "exporters: {prometheusremotewrite: {endpoint: 'http://x', wal: {}}}", "wal::directory: is not set")
	check(t, rules, "exporters: {prometheus_remote_write: {endpoint: 'http://x', wal: {directory: ''}}}", "wal::directory: is not set")
	check(t, rules, "exporters: {prometheus_remote_write: {endpoint: 'http://x'}}", "")
	// Keys that the user chooses have no meaning.
	check(t, rules, "exporters: {otlp: {headers: {file: /etc/x, certs: 'unix:/x'}}}", "")
}

// TestExpansionIsConfined expands configurations with the permitted providers, as the
// collector does: CheckRaw cannot see the result.
func TestExpansionIsConfined(t *testing.T) {
	rules, root := tree(t)
	t.Setenv("CONFINEMENT_SECRET", "hidden")
	expand := func(rules Rules, value string) (any, error) {
		resolver, err := confmap.NewResolver(confmap.ResolverSettings{
			URIs:              []string{"yaml:" + value},
			ProviderFactories: rules.ProviderFactories(),
			DefaultScheme:     "yaml",
		})
		require.NoError(t, err)
		conf, err := resolver.Resolve(context.Background())
		require.NoError(t, resolver.Shutdown(context.Background()))
		if err != nil {
			return nil, err
		}
		return conf.Get("a"), nil
	}
	for _, value := range []string{
		`a: ${env:CONFINEMENT_SECRET}`,
		`a: ${yaml:["\u0024\u007benv:CONFINEMENT_SECRET\u007d"]}`,
		`a: ${yaml:"$"}{env:CONFINEMENT_SECRET}`,
		`a: ${file:` + root + `/allowed/value}`,
		`a: ${http://127.0.0.1:1/}`,
	} {
		got, err := expand(Rules{}, value)
		require.Error(t, err, "%s gave %v", value, got)
		require.NotContains(t, err.Error(), "hidden")
	}
	rules.AllowedProviders = []string{"env", "file"}
	require.NoError(t, rules.Validate())
	got, err := expand(rules, `a: ${env:CONFINEMENT_SECRET}`)
	require.NoError(t, err)
	require.Equal(t, "hidden", got)
	got, err = expand(rules, `a: ${file:`+root+`/allowed/value}`)
	require.NoError(t, err)
	require.Equal(t, "localhost:4317", got)
	for _, path := range []string{"/secret/key", "/allowed/link/key", "/allowed/../secret/key"} {
		_, err = expand(rules, `a: ${yaml:["\u0024\u007bfile:`+root+path+`\u007d"]}`)
		require.Error(t, err, path)
		require.NotContains(t, err.Error(), "hidden")
		check(t, rules, "exporters: {otlp: {a: '${file:"+root+path+"}'}}", "exporters::otlp::a: ")
	}
	check(t, rules, "exporters: {otlp: {a: '${file:"+root+"/allowed/value}'}}", "")
}
