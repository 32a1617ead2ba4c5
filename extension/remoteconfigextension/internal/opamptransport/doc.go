// Package opamptransport asks an OpAMP server for configurations
// (https://github.com/open-telemetry/opamp-spec), over a WebSocket or by polling.
//
//	Report ─▶ agent: what to send, what was sent         ◀── handle ◀── ServerToAgent
//	            │ wakes                                        │
//	            ▼                                              ├─▶ offered  (remote_config)
//	          run ─▶ stream (ws, wss)   one server at a time   ├─▶ Restart  (command)
//	              ─▶ poll (http, https) in turn, with backoff  └─▶ NewInstanceUID
//
// One goroutine, run, talks to one server at a time; a stream has a second one that
// reads. All callbacks are called by run.
//
// The messages are opamp-go's, and so is the server in the tests. Its client (v0.23.0)
// is not used, because a server could harm the collector with it. The client
//
//   - reads answers of any size into memory,
//   - reconnects without a pause to a server that accepts and then sends garbage,
//   - waits for an HTTP answer without a limit,
//   - follows redirects to any host with all headers,
//   - loses a report if the answer is not 200,
//   - does not disconnect over HTTP,
//
// and does not accept another dialer, so none of this can be fixed from outside.
package opamptransport
