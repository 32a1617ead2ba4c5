// Package command assembles the invar command line.
//
// OCB generates the component set and main; main calls run (in
// distributions/invar/run.go), and run calls Execute here:
//
//	distributions/invar/main.go   generated: build info, providers, factories
//	        │ run(set)
//	distributions/invar/run.go    the seam between OCB's code and ours
//	        │ command.Execute(set)
//	internal/command              upstream's command tree (otelcol.NewCommand)
//	                              + our defaults, flags and subcommands
//	        │ without a subcommand: collector.New(set).Run
//	internal/collector            runs and reloads the service
//
// The rest of upstream's command is unchanged. New adds subcommands and flags to
// its tree.
package command

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/command/stability"
	"github.com/invar-otel/invar/internal/command/startuppages"
	"github.com/invar-otel/invar/internal/config/redaction"
	"github.com/invar-otel/invar/internal/config/yamltext"
)

// commit is the source revision, set by the linker (-X, see the Makefile).
var commit = ""

// defaultGates are feature gates that upstream leaves off and invar turns on.
// --feature-gates is parsed later and so has the last word.
var defaultGates = []string{
	"service.profilesSupport", // profiles are one of our four signals
}

// settleTime is how long after the start a collector has finished its one-time
// work, so that the pages of start-up code can be returned.
const settleTime = 15 * time.Second

// errNoConfig makes the exit status non-zero after the guide was printed. A
// service unit without arguments must not look as if it had succeeded.
var errNoConfig = errors.New("no --config given")

// Execute runs the command line in os.Args. It prints the error that it returns.
func Execute(set otelcol.CollectorSettings) error {
	err := enableDefaultGates()
	if err == nil {
		err = yamltext.Explain(New(set).Execute())
	}
	if err != nil && !errors.Is(err, errNoConfig) {
		var none *redaction.Secrets // hides whatever looks like a secret
		fmt.Fprintln(os.Stderr, "Error:", none.Text(err.Error()))
	}
	return err
}

func enableDefaultGates() error {
	for _, id := range defaultGates {
		if err := featuregate.GlobalRegistry().Set(id, true); err != nil {
			return fmt.Errorf("enable feature gate %s: %w", id, err)
		}
	}
	return nil
}

// New returns upstream's command tree with invar's additions.
func New(set otelcol.CollectorSettings) *cobra.Command {
	level := new(stability.Level)
	resolver := &set.ConfigProviderSettings.ResolverSettings
	resolver.ProviderFactories = yamltext.KeepAll(resolver.ProviderFactories, true)
	resolver.ConverterFactories = append(slices.Clone(resolver.ConverterFactories),
		stability.NewConverterFactory(level, set.Factories))

	root := otelcol.NewCommand(set)
	root.Short = set.BuildInfo.Description
	root.SilenceErrors = true // Execute prints them
	root.SetVersionTemplate(versionText(set.BuildInfo.Command, set.BuildInfo.Version))
	root.PersistentFlags().Var(level, "stability",
		"Refuse a config that uses components below this stability: development, alpha, beta or stable. "+
			"Unset accepts every component.")

	redactPrintConfig(root)
	root.AddCommand(newWAL())
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("unknown command %q; to run a configuration file: %s --config %[1]s", args[0], set.BuildInfo.Command)
	}
	var given uris
	recordErr := given.record(root)
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().NFlag() == 0 {
			_, err := fmt.Fprint(cmd.OutOrStdout(), guide(set.BuildInfo.Command, set.BuildInfo.Version))
			return errors.Join(err, errNoConfig)
		}
		if recordErr != nil {
			return recordErr
		}
		settled := time.AfterFunc(settleTime, func() {
			debug.FreeOSMemory()          // garbage of parsing and building
			_, _ = startuppages.Release() // code that ran once
		})
		defer settled.Stop()
		return given.run(cmd, set)
	}
	return root
}

func versionText(name, version string) string {
	return fmt.Sprintf("%s version %s (commit %s, %s, %s/%s)\n",
		name, version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// revision returns the commit given to the linker, or else the one that a plain
// `go build` in a checkout recorded.
func revision() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// guide returns the help that the bare command prints.
func guide(name, version string) string {
	return strings.NewReplacer("{name}", name, "{version}", version).Replace(
		`{name} {version}: an OpenTelemetry Collector for Prometheus, Loki, Tempo and Pyroscope

See it work on this host, no server needed:
  {name} --config builtin:default

Run a collector configuration (any otelcol config works unchanged):
  {name} --config otel.yaml

Check one without running it, or see what it comes to after merging:
  {name} validate --config otel.yaml
  {name} print-config --config otel.yaml

What is in this binary, and how mature it is:
  {name} components

All flags and commands: {name} --help
`)
}
