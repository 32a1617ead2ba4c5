// Package remoteconfigextension implements the remote_config extension: it asks
// a server for pipelines and runs them beside the collector's own, which they
// cannot stop.
//
//	server ◀──▶ connecttransport or opamptransport
//	                 │ offers          ▲ reports
//	                 ▼                 │
//	             conductor ──▶ remotepipelines.Runner: a service per pipeline
//	                 │           restricted by confinement.Rules
//	                 ▼
//	             lastgood: what worked last, what is being tried
//
// The local pipelines start first. When they are ready the last configuration
// that worked is started, whether the server answers or not; what the server
// offers then is tried and kept or rolled back. Nothing that a server says or
// does not say is an error of the collector's start.
package remoteconfigextension
