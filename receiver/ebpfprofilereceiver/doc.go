// Package ebpfprofilereceiver implements the ebpf_profile receiver: it samples
// the stacks of every process of a Linux host, and of its kernel, with the eBPF
// profiler of OpenTelemetry (go.opentelemetry.io/ebpf-profiler).
//
//	kernel ─▶ profiler ─▶ collector: counts by process and stack
//	                          │ every interval, or when full
//	                          ▼
//	     symbolizer (native names) ─▶ batch ─▶ pipeline
//	     attribution (targets, relabelling) ─┘
//
// The profiler unwinds stacks and names the frames of interpreters, Go and the kernel.
// This package names native frames, finds the container, pod and service of a process,
// and selects processes.
package ebpfprofilereceiver
