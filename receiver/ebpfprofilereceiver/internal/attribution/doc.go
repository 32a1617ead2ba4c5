// Package attribution determines which discovered target a process belongs to, whether
// it is profiled, and the resource attributes of its profiles.
//
//	/proc/<pid> ─▶ Process ┐
//	                       ├─▶ labels ─▶ relabel_configs ─▶ attributes, or dropped
//	discovery ─▶ Targets ──┘
package attribution
