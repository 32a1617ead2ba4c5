package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/spf13/cobra"

	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walinspect"
)

// newWAL returns the command that inspects a prometheus_wal directory.
func newWAL() *cobra.Command {
	var format string
	var match []string
	var opts walinspect.Options
	cmd := &cobra.Command{
		Use:   "wal DIRECTORY",
		Short: "Shows what is in the write-ahead log of a prometheus_wal exporter",
		Long: "Lists the segments, series, time range and unsent samples of a prometheus_wal directory and\n" +
			"verifies every checksum. It changes nothing and may be used while the exporter runs.\n" +
			"The exit status is 1 if something is damaged or missing.",
		Example: "  invar wal data/prometheus_wal/default\n" +
			"  invar wal --series --match '{job=\"node\"}' data/prometheus_wal/default",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%d directories given; name one: %s", len(args), cmd.UseLine())
			}
			if format != "text" && format != "json" {
				return fmt.Errorf("--format: %q is not a format; use text or json", format)
			}
			selectors := parser.NewParser(parser.Options{})
			for _, m := range match {
				matchers, err := selectors.ParseMetricSelector(m)
				if err != nil {
					return fmt.Errorf("--match: %q is not a series selector such as '{job=\"node\"}': %w", m, err)
				}
				opts.Match = append(opts.Match, matchers)
			}
			report, err := walinspect.Inspect(args[0], opts)
			if err != nil {
				return errors.Join(err, hint(args[0], err))
			}
			if err := writeReport(cmd, report, format); err != nil {
				return err
			}
			if !report.Sound() {
				return fmt.Errorf("%s: damaged parts: %d, runs of missing segments: %d", args[0], len(report.Damage), len(report.Missing))
			}
			return nil
		},
		SilenceUsage: true,
	}
	cmd.Flags().BoolVar(&opts.ListSeries, "series", false, "List every series.")
	cmd.Flags().StringArrayVar(&match, "match", nil, "Count and list only series that match this selector; repeat it for more.")
	cmd.Flags().StringVar(&format, "format", "text", "text or json.")
	return cmd
}

func writeReport(cmd *cobra.Command, r *walinspect.Report, format string) error {
	if format == "text" {
		return r.WriteText(cmd.OutOrStdout())
	}
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// hint returns an error that names the logs below a directory, if dir itself holds
// none.
func hint(dir string, err error) error {
	if !errors.Is(err, walinspect.ErrNoLog) {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var below []string
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		if e.IsDir() && holdsLog(sub) {
			below = append(below, sub)
		}
	}
	if below == nil {
		return errors.New("name the directory in the exporter's wal::directory")
	}
	return fmt.Errorf("there is one in: %s", strings.Join(below, ", "))
}

func holdsLog(dir string) bool {
	segments, err := seglog.List(dir)
	return err == nil && len(segments) > 0
}
