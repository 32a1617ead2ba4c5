// Package pprofconv converts profiles between pprof, the format of Go's runtime and
// Pyroscope, and pprofile, the collector's pdata for profiles.
//
// A pprof message becomes one ScopeProfiles. A pprofile Profile has one sample type, so each
// sample type of the message becomes a Profile of the scope. Fields without an equivalent
// in pprofile become attributes with names from OpenTelemetry's semantic conventions
// (pprof.*), and labels of a sample become attributes of the sample.
//
// Messages are not trusted. Decoder reads them within a Budget, which accounts for memory
// before it is allocated, and makes the same repairs as Pyroscope.
//
// Formats:
// https://github.com/google/pprof/blob/main/proto/profile.proto
// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/profiles/v1development/profiles.proto
// https://opentelemetry.io/docs/specs/semconv/registry/attributes/pprof/
package pprofconv
