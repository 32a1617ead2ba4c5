package main

import (
	"fmt"
	"slices"
	"strings"
)

// peer is a configuration of the collector. In its text, %[1]s is the folder of the pods
// or the address for OTLP, %[2]s the endpoint's URL, %[3]s the address for profiles and
// %[4]s the peer's folder.
type peer struct {
	name     string
	config   string
	function string // the exporter's, in profiles
}

const (
	lokiPush = "lokiexporter.(*lokiExporter).push"
	otlpPush = "otlphttpexporter.(*baseExporter).pushLogs"

	tail = `
receivers:
  file_log:
    include: ["%[1]s/*/*/*.log"]
    start_at: beginning
    include_file_name: false
    include_file_path: true
    operators: [{type: container}]
    ATTRIBUTES
`
	intake = `
receivers:
  otlp: {protocols: {http: {endpoint: "%[1]s"}}}
`
	toLoki = `
exporters:
  loki: {endpoint: "%[2]s", sending_queue: {block_on_overflow: true, QUEUE}, METADATA}
`
	toOTLP = `
exporters:
  otlp_http: {endpoint: "%[2]s", compression: COMPRESSION, sending_queue: {block_on_overflow: true, QUEUE, batch: {sizer: bytes, min_size: 1048576, flush_timeout: 1s}}}
`
	rest = `
extensions: {pprof: {endpoint: "%[3]s"}, file_storage: {directory: "%[4]s"}}
service:
  extensions: [pprof, file_storage]
  telemetry: {logs: {level: warn}, metrics: {level: none}}
  pipelines: {logs: {receivers: [RECEIVER], exporters: [EXPORTER]}}
`
	one   = "structured_metadata: {exclude: [observed_timestamp, log.*, logtag, k8s.pod.uid, k8s.container.restart_count]}"
	eight = "structured_metadata: {exclude: [observed_timestamp, log.*, logtag]}"
	more  = "attributes: {team: payments, region: eu-west-1, version: 1.27.3, tier: backend, build: 8f3c2d1}"
)

func tailPeer(name, exporter, attributes, metadata, queue, compression, function string) peer {
	config := tail + toLoki + rest
	if exporter == "otlp_http" {
		config = tail + toOTLP + rest
	}
	return peer{name, strings.NewReplacer(
		"ATTRIBUTES", attributes, "METADATA", metadata, "QUEUE", queue, "COMPRESSION", compression,
		"RECEIVER", "file_log", "EXPORTER", exporter,
	).Replace(config), function}
}

func otlpPeer(name, exporter, compression, function string) peer {
	config := intake + toLoki + rest
	if exporter == "otlp_http" {
		config = intake + toOTLP + rest
	}
	return peer{name, strings.NewReplacer(
		"METADATA", "structured_metadata: {}", "QUEUE", bounded, "COMPRESSION", compression, "RECEIVER", "otlp", "EXPORTER", exporter,
	).Replace(config), function}
}

// The queues hold 16 MB of OTLP. Faster input has to wait.
const bounded = "sizer: bytes, queue_size: 16000000"

const durable = "storage: file_storage, sizer: bytes, queue_size: 2000000000"

var tailPeers = []peer{
	tailPeer("loki-1", "loki", "", one, bounded, "", lokiPush),
	tailPeer("loki-8", "loki", more, eight, bounded, "", lokiPush),
	tailPeer("loki-8-durable", "loki", more, eight, durable, "", lokiPush),
	tailPeer("otlp_http-8", "otlp_http", more, "", bounded, "gzip", otlpPush),
	tailPeer("otlp_http-8-snappy", "otlp_http", more, "", bounded, "snappy", otlpPush),
}

var otlpPeers = []peer{
	otlpPeer("loki", "loki", "", lokiPush),
	otlpPeer("otlp_http", "otlp_http", "gzip", otlpPush),
	otlpPeer("otlp_http-snappy", "otlp_http", "snappy", otlpPush),
}

func choosePeers(names string, otlp bool) ([]peer, error) {
	all := tailPeers
	if otlp {
		all = otlpPeers
	}
	if names == "" {
		return all, nil
	}
	var chosen []peer
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(p peer) bool { return p.name == name })
		if i < 0 {
			var known []string
			for _, p := range all {
				known = append(known, p.name)
			}
			return nil, fmt.Errorf("peers: %q is none of %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
