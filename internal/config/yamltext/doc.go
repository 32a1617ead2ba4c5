// Package yamltext keeps what a user has written where parsing YAML changes it.
//
// Parts of a collector configuration are read by Prometheus, from YAML, into
// fields that are text: label values, regular expressions, names. There 1.10,
// 012 and 2024-01-02 are what is written. The collector however parses all YAML
// before it knows the field, to 1.1, 10 and a time, and Prometheus would be
// given those.
//
//	source ─▶ Keep (provider): text beside or instead of the value ─▶ confmap
//	                                                                    │
//	Prometheus ◀─ Marshal: YAML with the texts ◀─ Raw (component) ◀─────┘
//
// In the sections that Prometheus reads, scalars whose text is not that of their
// value become strings with the text, and Marshal writes strings so that
// Prometheus takes them for what they would be unquoted. In sources that are
// parts of a configuration, of which the place is not known, they become what
// confmap has for ${env:X}: a value with its original.
package yamltext
