package main

import (
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/command"
)

// run is called by the generated main with the generated component set. It replaces
// the run function that OCB generates, which `make generate` leaves out.
func run(set otelcol.CollectorSettings) error {
	return command.Execute(set)
}
