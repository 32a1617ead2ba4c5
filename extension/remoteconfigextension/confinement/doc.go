// Package confinement limits what a configuration from a fleet server may use on
// this host. Unless the local administrator permits it, such a configuration
// must not read the host's secrets or open ports to the network.
//
//	configuration from the server
//	  │ CheckRaw        before ${…} is expanded: providers, components and their
//	  │                 parts, files, environment, expressions that read it
//	  ▼
//	confmap.Resolver    with ProviderFactories only
//	  │ Canonical       reduces an expanded map or list to one reading; only the
//	  ▼                 result is decoded
//	  │ CheckResolved   the same checks on all Readings after expansion, and on
//	  ▼                 the decoded configuration: defaults, listen addresses
//	components run
//	  │ ListenersNow    before and after the start: New returns the listeners
//	  ▼                 that the configuration did not declare
//	kept, or rolled back
//
// The permitted components are a curated list (components.go) and the meaning of
// keys is a curated table (keys.go). Both refuse unknown entries. Tests in
// distributions/invar fail until a new component or key is classified.
package confinement
