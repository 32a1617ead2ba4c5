package ebpfprofilereceiver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/ebpf-profiler/interpreter/interpreterconfig"
)

// switches returns the setting that disables an interpreter, by the profiler's names.
// LuaJIT is missing because the profiler does not implement it yet.
var switches = map[string]func(*interpreterconfig.Config) *bool{
	"beam":    func(c *interpreterconfig.Config) *bool { return &c.BEAM.Disabled },
	"dotnet":  func(c *interpreterconfig.Config) *bool { return &c.Dotnet.Disabled },
	"go":      func(c *interpreterconfig.Config) *bool { return &c.Go.Disabled },
	"hotspot": func(c *interpreterconfig.Config) *bool { return &c.Hotspot.Disabled },
	"perl":    func(c *interpreterconfig.Config) *bool { return &c.Perl.Disabled },
	"php":     func(c *interpreterconfig.Config) *bool { return &c.PHP.Disabled },
	"python":  func(c *interpreterconfig.Config) *bool { return &c.Python.Disabled },
	"ruby":    func(c *interpreterconfig.Config) *bool { return &c.Ruby.Disabled },
	"v8":      func(c *interpreterconfig.Config) *bool { return &c.V8.Disabled },
}

// interpreters returns the profiler's configuration. Interpreters are enabled unless
// wanted is false for their name.
func interpreters(wanted map[string]bool) (interpreterconfig.Config, error) {
	c := interpreterconfig.AllInterpreters()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		disabled, ok := switches[name]
		if !ok {
			errs = append(errs, fmt.Errorf("interpreters::%s: is not known; use %s", name, strings.Join(slices.Sorted(maps.Keys(switches)), ", ")))
			continue
		}
		*disabled(&c) = !wanted[name]
	}
	return c, errors.Join(errs...)
}
