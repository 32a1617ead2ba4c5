package main

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// manifest is the part of builder-config.yaml that ends up in go.mod.
type manifest struct {
	Dist struct {
		Module     string `yaml:"module"`
		Version    string `yaml:"version"`
		OutputPath string `yaml:"output_path"`
	} `yaml:"dist"`
	Extensions []entry  `yaml:"extensions"`
	Receivers  []entry  `yaml:"receivers"`
	Processors []entry  `yaml:"processors"`
	Exporters  []entry  `yaml:"exporters"`
	Connectors []entry  `yaml:"connectors"`
	Providers  []entry  `yaml:"providers"`
	Converters []entry  `yaml:"converters"`
	Excludes   []string `yaml:"excludes"`
	Replaces   []string `yaml:"replaces"`

	source []byte
}

type entry struct {
	GoMod string `yaml:"gomod"`
	Path  string `yaml:"path"`
}

// module splits "path version".
func (e entry) module() (path, version string, err error) {
	fields := strings.Fields(e.GoMod)
	if len(fields) != 2 {
		return "", "", fmt.Errorf("gomod: %q is not a module and a version; write it like example.com/mod v1.2.3", e.GoMod)
	}
	return fields[0], fields[1], nil
}

func readManifest(path string) (*manifest, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &manifest{source: source}
	if err := yaml.Unmarshal(source, m); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	if m.Dist.OutputPath == "" || m.Dist.Module == "" {
		return nil, fmt.Errorf("%s: dist::module and dist::output_path must be set", path)
	}
	return m, nil
}

func (m *manifest) entries() []entry {
	var all []entry
	for _, section := range [][]entry{
		m.Extensions, m.Receivers, m.Processors, m.Exporters, m.Connectors, m.Providers, m.Converters,
	} {
		all = append(all, section...)
	}
	return all
}

// withOutput is the manifest as it was read but for its output path.
func (m *manifest) withOutput(path string) ([]byte, error) {
	var whole map[string]any
	if err := yaml.Unmarshal(m.source, &whole); err != nil {
		return nil, err
	}
	whole["dist"].(map[string]any)["output_path"] = path
	return yaml.Marshal(whole)
}
