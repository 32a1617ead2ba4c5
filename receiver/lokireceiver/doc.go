// Package lokireceiver implements the loki receiver: it accepts what Promtail,
// Alloy, Docker's Loki driver and other clients push to Grafana Loki, over HTTP
// (protobuf or JSON) and gRPC, and answers as Loki would.
//
// The receiver answers a request after the pipeline has accepted its logs. A client
// that got 204 need not keep them.
package lokireceiver
