// Package pyroscopereceiver implements the pyroscope receiver: it accepts what
// Pyroscope's SDKs, Alloy and profilecli push to Grafana Pyroscope, on /ingest
// and on push.v1.PusherService/Push, and names and labels it as Pyroscope would.
//
// The receiver answers a request after the pipeline has accepted its profiles. A
// client that got 200 need not keep them.
//
//	/ingest ──▶ query, body ─┬─ pprof ───────────────▶ pprof.go ─┐
//	                         ├─ jfr ──▶ jfrcheck ────▶ jfr.go ───┼─▶ pprofconv ─▶ pipeline
//	                         └─ groups, lines ───────▶ folded.go │
//	Push (Connect, gRPC, gRPC-Web) ──▶ push.go ──────────────────┘
//
// Pyroscope's source shows how it reads /ingest and converts the formats:
// https://github.com/grafana/pyroscope/tree/main/pkg/ingester/pyroscope
// https://github.com/grafana/pyroscope/tree/main/pkg/og/convert
package pyroscopereceiver
