// Package attribution tells whose a process is: which discovered target it
// belongs to, whether it is profiled, and which resource attributes its
// profiles have.
//
//	/proc/<pid> ─▶ Process ┐
//	                       ├─▶ labels ─▶ relabel_configs ─▶ attributes, or dropped
//	discovery ─▶ Targets ──┘
package attribution
