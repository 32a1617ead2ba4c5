// Package yamltext keeps the text of values that parsing YAML would change.
//
// Prometheus reads parts of a collector configuration, as YAML, into text fields:
// label values, regular expressions, names. In them 1.10, 012 and 2024-01-02 mean
// exactly that. But the collector parses all YAML before it knows the fields, into
// 1.1, 10 and a time, which is what Prometheus would get.
//
//	source ─▶ Keep (provider): text beside or instead of the value ─▶ confmap
//	                                                                    │
//	Prometheus ◀─ Marshal: YAML with the texts ◀─ Raw (component) ◀─────┘
//
// In the sections that Prometheus reads, a scalar whose value would print
// differently becomes a string with its text. Marshal writes strings so that
// Prometheus reads them as if they were not quoted. In a source that is only a part
// of a configuration, whose place is not known, such a scalar becomes what confmap
// uses for ${env:X}: a value together with its original text.
package yamltext
