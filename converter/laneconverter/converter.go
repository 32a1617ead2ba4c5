// Package laneconverter is the converter of internal/promlane, where the
// distribution's manifest finds it. It writes the lane of every receiver that
// knows lanes into the effective configuration.
package laneconverter

import (
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/promlane"
)

// NewFactory returns the factory of the converter.
func NewFactory() confmap.ConverterFactory { return promlane.NewConverterFactory() }
