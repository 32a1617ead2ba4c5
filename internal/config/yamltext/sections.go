package yamltext

import (
	"slices"
	"strings"
)

// section is a part of a component's configuration that Prometheus reads.
type section struct {
	kind, component string
	contains        func(path []string) bool // path starts below the component
}

// sections lists all parts that Prometheus reads.
var sections = []section{
	{"receivers", "prometheus_scrape", func(p []string) bool { return p[0] == "config" }},
	{"receivers", "ebpf_profile", func(p []string) bool { return p[0] == "targets" }},
	{"receivers", "pprof_scrape", func(p []string) bool {
		return len(p) > 2 && p[0] == "scrape_configs" && isPrometheus(p[2])
	}},
	{"exporters", "prometheus_wal", func(p []string) bool { return p[0] == "write_relabel_configs" }},
}

// clientKeys are the keys of Prometheus' HTTP client in a scrape_config.
var clientKeys = []string{
	"basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file", "tls_config", "http_headers",
	"proxy_url", "no_proxy", "proxy_connect_header",
}

// isPrometheus reports whether Prometheus reads a key of a pprof_scrape job.
func isPrometheus(key string) bool {
	return key == "static_configs" || key == "relabel_configs" || strings.HasSuffix(key, "_sd_configs") ||
		slices.Contains(clientKeys, key)
}

// inSection reports whether Prometheus reads the value at a path that starts at the
// root of a configuration.
func inSection(path []string) bool {
	if len(path) < 3 {
		return false
	}
	name, _, _ := strings.Cut(path[1], "/")
	for _, s := range sections {
		if path[0] == s.kind && strings.TrimSpace(name) == s.component {
			return s.contains(path[2:])
		}
	}
	return false
}

// isRoot reports whether a document is a configuration rather than a part of one:
// it has one of the sections, and the section is not just a word.
func isRoot(raw any) bool {
	m, ok := raw.(map[string]any)
	if !ok {
		return false
	}
	for key, value := range m {
		head, _, nested := strings.Cut(key, "::")
		switch head {
		case "receivers", "processors", "exporters", "connectors", "extensions", "service":
		default:
			continue
		}
		switch value := value.(type) {
		case nil, map[string]any, map[any]any:
			return true
		case string:
			if nested || strings.HasPrefix(value, "${") {
				return true
			}
		default:
			if nested {
				return true
			}
		}
	}
	return false
}
