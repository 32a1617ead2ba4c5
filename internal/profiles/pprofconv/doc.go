// Package pprofconv converts profiles between pprof, which Go's runtime and
// Pyroscope speak, and pprofile, which the collector's pipelines carry.
//
// A pprof message is one ScopeProfiles: a pprofile Profile has one sample type,
// so that each sample type of the message becomes a Profile of the scope.
// What pprofile has no field for is kept in attributes with the names of
// OpenTelemetry's semantic conventions (pprof.*), and a label of a sample is an
// attribute of that sample.
//
// Messages come from anybody. Decoder reads them with a Budget, which counts what they
// become before it is made, and repairs what Pyroscope would repair.
//
// Formats:
// https://github.com/google/pprof/blob/main/proto/profile.proto
// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/profiles/v1development/profiles.proto
// https://opentelemetry.io/docs/specs/semconv/registry/attributes/pprof/
package pprofconv
