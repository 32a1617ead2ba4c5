// Package collector runs the collector of a process and reloads its configuration
// without putting the running one at risk.
//
//	          signals, providers, extensions
//	                     │ Reload
//	                     ▼
//	sources ──▶ loader ──▶ candidate ──▶ dry run ──▶ switch ──▶ settle ──▶ applied
//	            records     decoded      │           │          │
//	            answers     from the     ▼           ▼          ▼
//	               │        record    rejected:   stop the new one, start the
//	               │                  nothing     previous one from its record;
//	               └────────────────▶ touched     again and again until it runs
//
// The goroutine of Run owns the running service and does all of this. Others send
// it requests through the [reloading.Controller], which components find in the
// context of their Start.
//
// A reload that is undone starts the previous configuration a second time. By then
// its files have changed, and components may have modified the structs they were
// given. The loader therefore records what every source answered, and each start
// decodes its own configuration from that record.
//
// Upstream can replace the receivers of a running service (service.UpdateReceivers,
// behind feature gates). It is not used: a failure half-way leaves a service that
// cannot be repaired, extensions do not see the new configuration, and a reload that
// is meant to read certificates again would not do so.
package collector
