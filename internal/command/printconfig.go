package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/internal/config/redaction"
)

const (
	printConfigName = "print-config"
	redactedMode    = "redacted"
	jsonFormat      = "json"
)

// redactPrintConfig makes upstream's print-config hide all secrets in its redacted
// mode, not only those of type configopaque.String.
func redactPrintConfig(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == printConfigName {
			cmd.RunE = redacted(cmd.RunE)
		}
	}
}

func redacted(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		mode, err := cmd.Flags().GetString("mode")
		if err != nil || !strings.EqualFold(mode, redactedMode) {
			return run(cmd, args)
		}
		format, _ := cmd.Flags().GetString("format")
		out := cmd.OutOrStdout()
		var printed bytes.Buffer
		cmd.SetOut(&printed)
		err = run(cmd, args)
		cmd.SetOut(out)
		if err != nil {
			return err
		}
		return printRedacted(out, printed.Bytes(), format)
	}
}

// printRedacted writes upstream's output without secrets, in the same format.
func printRedacted(out io.Writer, printed []byte, format string) error {
	var config map[string]any // JSON is YAML
	if err := yaml.Unmarshal(printed, &config); err != nil {
		return fmt.Errorf("read the printed configuration: %w", err)
	}
	var secrets redaction.Secrets
	secrets.AddConfig(config)
	config = secrets.Map(config)
	if strings.EqualFold(format, jsonFormat) {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(config)
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}
