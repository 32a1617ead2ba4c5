// Package confinement is what a configuration from a fleet server may use on
// this host: a fleet server must not read the host's secrets by configuration,
// nor open ports to the network, unless the local administrator permits it.
//
//	configuration from the server
//	  │ CheckRaw        before ${…} is expanded: providers, components and their
//	  │                 parts, files, environment, expressions that read it
//	  ▼
//	confmap.Resolver    with ProviderFactories alone
//	  │ Canonical       one reading of what became a map or list; this, and
//	  ▼                 nothing else, is decoded
//	  │ CheckResolved   all Readings of the same again after expansion; and what
//	  ▼                 was decoded, with defaults and addresses to listen on
//	components run
//	  │ ListenersNow    before and after the start: New tells what listens that
//	  ▼                 the configuration did not say
//	kept, or rolled back
//
// What a component may be is a curated list (components.go), what a key means is
// a curated table (keys.go). Both refuse what they do not know. A test beside
// the generated binary fails until a new component or key is entered.
package confinement
