// Package lokiapi is the push API of Grafana Loki, both ways: how labels are
// written, how a request is encoded and decoded.
//
// Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs.
// A request is POSTed to [PushPath]. Its body is a logproto.PushRequest in
// protobuf, compressed as one snappy block, or the same as JSON:
//
//	{"streams": [{"stream": {"label": "value"},
//	              "values": [["<unix nanoseconds>", "<line>", {"<metadata>": "value"}]]}]}
package lokiapi

const (
	// PushPath is where logs are pushed to.
	PushPath = "/loki/api/v1/push"
	// TenantHeader names the tenant.
	TenantHeader = "X-Scope-OrgID"
	// ContentProtobuf and ContentJSON are the media types of the two forms.
	ContentProtobuf = "application/x-protobuf"
	ContentJSON     = "application/json"
)
