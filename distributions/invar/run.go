package main

import (
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/command"
)

// run is called by the generated main with the generated component set. OCB
// writes a run of its own, which `make generate` removes in favour of this one.
func run(set otelcol.CollectorSettings) error {
	return command.Execute(set)
}
