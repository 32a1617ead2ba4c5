// Command sbom writes a CycloneDX bill of materials for a Go binary to its
// standard output. The list is the one the linker put into the binary, so it
// names exactly the modules that are in it.
package main

import (
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	name := flag.String("name", "", "name of the application")
	version := flag.String("version", "", "version of the application")
	flag.Parse()
	if err := run(os.Stdout, *name, *version, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, name, version string, args []string) error {
	if name == "" || version == "" || len(args) != 1 {
		return errors.New("usage: sbom -name NAME -version VERSION BINARY")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(billOf(info, name, version))
}

func billOf(info *buildinfo.BuildInfo, name, version string) *cdx.BOM {
	components := make([]cdx.Component, 0, len(info.Deps)+1)
	components = append(components, cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion,
		PackageURL: "pkg:golang/std@" + info.GoVersion,
	})
	for _, m := range info.Deps {
		if m.Replace != nil && strings.HasPrefix(m.Replace.Path, ".") {
			// A module of this repository, replaced by its folder: it has
			// the version of the application.
			components = append(components, cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: version})
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		components = append(components, cdx.Component{
			BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl,
		})
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{Type: cdx.ComponentTypeApplication, Name: name, Version: version}}
	bom.Components = &components
	return bom
}
