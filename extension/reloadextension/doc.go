// Package reloadextension implements the reload extension, which makes the process
// reload its configuration on an HTTP request or when a configuration file changes, and
// reports the outcome.
//
// The reload itself is done by internal/collector. It stops this extension like every
// other component and starts a new one, so Shutdown must never wait for a reload:
//
//	POST ──▶ handler ──▶ Controller.Reload ──▶ Shutdown of this extension
//	           ▲                  │              closes the listener, leaves the
//	           └──── result ──────┘              server to Controller.Go, returns
//
// Connections that wait for the result outlive the extension.
package reloadextension
