// Package lokiapi is the push API of Grafana Loki, both ways: how labels are
// written, how a request is encoded and decoded.
//
// Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs.
// A request is POSTed to [PushPath]. Its body is a logproto.PushRequest in
// protobuf, compressed as one snappy block, or the same as JSON:
//
//	{"streams": [{"stream": {"label": "value"},
//	              "values": [["<unix nanoseconds>", "<line>", {"<metadata>": "value"}]]}]}
//
// Decoding allocates no more than a [Budget] allows, beside the decompressed body.
package lokiapi

// Where logs are pushed to, and the media types of the two forms.
const (
	PushPath        = "/loki/api/v1/push"
	ContentProtobuf = "application/x-protobuf"
	ContentJSON     = "application/json"
)
