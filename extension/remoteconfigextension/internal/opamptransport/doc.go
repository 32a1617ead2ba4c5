// Package opamptransport asks an OpAMP server for configurations
// (https://github.com/open-telemetry/opamp-spec), over a WebSocket or by polling.
//
//	Report ─▶ agent: what is to be told, what was told   ◀── handle ◀── ServerToAgent
//	            │ wakes                                        │
//	            ▼                                              ├─▶ offered  (remote_config)
//	          run ─▶ stream (ws, wss)   one server at a time   ├─▶ Restart  (command)
//	              ─▶ poll (http, https) in turn, with backoff  └─▶ NewInstanceUID
//
// One goroutine, run, talks to one server at a time; a stream has a second one
// that reads. All callbacks come from run.
//
// The messages are opamp-go's, and so is the server in the tests. Its client is
// not used, as what a server does must not harm the collector: it (v0.23.0) reads
// answers of any size into memory, connects again without a pause to a server
// that accepts and then sends garbage, waits for an HTTP answer without a limit,
// follows redirects with all headers to any host, forgets what it had to tell
// when an answer is not 200, and takes no leave over HTTP; it lets nobody else
// dial, so that none of this can be mended from outside.
package opamptransport
