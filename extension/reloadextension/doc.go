// Package reloadextension implements the reload extension: it has the process
// load its configuration again, when it is asked to over HTTP or when a
// configuration file changes, and tells what became of it.
//
// The reload itself, with all that guards it, is the process's
// (internal/collector); it stops this extension like everything else and
// starts another one. So nothing here may make Shutdown wait for a reload:
//
//	POST ──▶ handler ──▶ Controller.Reload ──▶ Shutdown of this extension
//	           ▲                  │              closes the listener, leaves the
//	           └──── result ──────┘              server to Controller.Go, returns
//
// The connections of those who wait for the result outlive the extension.
package reloadextension
