// Package collector runs the collector of a process and replaces its
// configuration without endangering what runs.
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
// One goroutine, that of Run, owns the running service and does all of this;
// everybody else asks it through the [reloading.Controller], which services
// find in the context of their Start.
//
// A configuration is started twice from the same sources if a reload has to be
// undone. By then files have changed, and components may have changed the
// configuration structs they were given. So the loader records what every
// source answered, and each start decodes a configuration of its own from that.
//
// Upstream can exchange receivers only, in a service that goes on running
// (service.UpdateReceivers, behind feature gates). That is not used here: when
// it fails half-way the service is beyond repair, extensions are not told the
// new configuration, and a restart that somebody asked for to have
// certificates read again would not be one.
package collector
