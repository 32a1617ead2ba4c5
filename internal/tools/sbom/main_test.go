package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOwnBinary lists the modules of the running test binary.
func TestOwnBinary(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	info, err := buildinfo.ReadFile(exe)
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, run(&out, "tool", "1.2.3", []string{exe}))
	var bom struct {
		BomFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, Purl string }
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &bom))
	require.Equal(t, "CycloneDX", bom.BomFormat)
	require.Equal(t, "tool", bom.Metadata.Component.Name)
	require.Equal(t, "1.2.3", bom.Metadata.Component.Version)
	require.Len(t, bom.Components, len(info.Deps)+1)
	require.Equal(t, "pkg:golang/std@"+info.GoVersion, bom.Components[0].Purl)
	for i, m := range info.Deps {
		require.Equal(t, m.Path, bom.Components[i+1].Name)
		require.Equal(t, m.Version, bom.Components[i+1].Version)
	}
}

func TestReplacedModules(t *testing.T) {
	local := &debug.Module{Path: "example.com/own", Version: "v0.1.0", Replace: &debug.Module{Path: "../..", Version: "(devel)"}}
	forked := &debug.Module{Path: "example.com/a", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1"}}
	bom := billOf(&buildinfo.BuildInfo{GoVersion: "go1.26.0", Deps: []*debug.Module{local, forked}}, "tool", "1.2.3")
	components := *bom.Components
	require.Len(t, components, 3)
	require.Equal(t, "example.com/own", components[1].Name)
	require.Equal(t, "1.2.3", components[1].Version)
	require.Empty(t, components[1].PackageURL, "what is not published has no package URL")
	require.Equal(t, "pkg:golang/example.com/fork@v1.0.1", components[2].PackageURL)
}

func TestUsage(t *testing.T) {
	require.EqualError(t, run(nil, "", "1", []string{"x"}), "usage: sbom -name NAME -version VERSION BINARY")
	require.Error(t, run(nil, "tool", "1", []string{"main_test.go"}), "not a Go binary")
}
