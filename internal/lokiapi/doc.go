// Package lokiapi encodes and decodes requests to the push API of Grafana Loki, and
// the labels in them.
//
// Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs.
// A request is POSTed to [PushPath]. Its body is a logproto.PushRequest in
// protobuf, compressed as one snappy block, or the same as JSON:
//
//	{"streams": [{"stream": {"label": "value"},
//	              "values": [["<unix nanoseconds>", "<line>", {"<metadata>": "value"}]]}]}
//
// Besides the decompressed body, decoding allocates no more than a [Budget] allows.
package lokiapi

// The path of the push API, and the media types of its two forms.
const (
	PushPath        = "/loki/api/v1/push"
	ContentProtobuf = "application/x-protobuf"
	ContentJSON     = "application/json"
)
