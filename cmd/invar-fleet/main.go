// Command invar-fleet is a small fleet server. It gives collectors their pipelines,
// over collector.v1.CollectorService and OpAMP, and shows which collector runs what.
// The README describes the API and the formats of the files.
//
//	main.go, serve.go     flags, listener, start and shutdown
//	internal/fleet        who runs what: collectors, pipelines, offers
//	internal/rollout      the rules of rollouts
//	internal/store        the state file
//	internal/api          JSON over HTTP, Connect, tokens, metrics
//	internal/opampserver  OpAMP
//	internal/page         the web page
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker; see the Makefile.
var version, commit = "dev", "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "invar-fleet --pipelines DIRECTORY --state FILE",
		Short: "Gives collectors their pipelines, and shows who has what",
		Long: "Serves collectors over collector.v1.CollectorService (Connect, gRPC) and OpAMP (/v1/opamp), people\n" +
			"over a web page and a JSON API (/api/v1), and Prometheus (/metrics), all at one address.",
		Example: "  invar-fleet --pipelines ./pipelines --state fleet.db\n" +
			"  invar-fleet --pipelines ./pipelines --state fleet.db --listen :12400 \\\n" +
			"    --token-file tokens --tls-cert fleet.crt --tls-key fleet.key",
		Version:       version + " (commit " + commit + ")",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return serve(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:12400", "Where to listen. Other than on loopback only with --token-file.")
	flags.StringVar(&o.pipelines, "pipelines", "", "The folder of pipelines: one file <name>.yaml for each.")
	flags.StringVar(&o.state, "state", "", "The file of the embedded database. It is made if it is not there.")
	flags.StringVar(&o.tokenFile, "token-file", "", "A file with lines: name role token. Roles are admin, viewer and collector.")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "The certificate, PEM. It is read again when it changes, as are the next two.")
	flags.StringVar(&o.tlsKey, "tls-key", "", "The certificate's key, PEM.")
	flags.StringVar(&o.clientCA, "client-ca", "", "Certificates of authorities, PEM: clients have to show a certificate of one.")
	flags.DurationVar(&o.pollInterval, "poll-interval", 10*time.Second, "How often to look for changes in the folder of pipelines.")
	flags.DurationVar(&o.forgetAfter, "forget-after", 24*time.Hour, "After how long to forget a collector that is away.")
	flags.IntVar(&o.maxCollectors, "max-collectors", 20_000, "How many collectors to remember.")
	flags.StringVar(&o.logLevel, "log.level", "info", "debug, info, warn or error.")
	return cmd
}
