// Package ebpfprofilereceiver implements the ebpf_profile receiver: it samples
// the stacks of every process of a Linux host, and of its kernel, with the eBPF
// profiler of OpenTelemetry (go.opentelemetry.io/ebpf-profiler).
//
//	kernel ─▶ profiler ─▶ collector: counts by process and stack
//	                          │ every interval, or when it is full
//	                          ▼
//	     symbolizer (native names) ─▶ batch ─▶ pipeline
//	     attribution (targets, relabelling) ─┘
//
// The profiler unwinds stacks and names the frames of interpreters, of Go and of
// the kernel. This package adds the names of native frames, tells which container,
// pod and service a process belongs to, and selects processes.
package ebpfprofilereceiver
