// Package remoteconfigextension implements the remote_config extension, which asks a
// server for pipelines and runs them beside the collector's own. They cannot stop the
// local pipelines.
//
//	server ◀──▶ connecttransport or opamptransport
//	                 │ offers          ▲ reports
//	                 ▼                 │
//	             conductor ──▶ remotepipelines.Runner: a service per pipeline
//	                 │           restricted by confinement.Rules
//	                 ▼
//	             lastgood: the last good configuration, the one on trial
//
// The local pipelines start first. When they are ready, the extension starts the last
// known good configuration, whether or not the server answers. It tries what the server
// offers, and keeps it or rolls it back. No answer of a server, and no missing one,
// fails the start of the collector.
package remoteconfigextension
