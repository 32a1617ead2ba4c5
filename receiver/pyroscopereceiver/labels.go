package pyroscopereceiver

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Labels with a meaning in Pyroscope (pkg/model/labels.go).
const (
	labelName    = "__name__"
	labelService = "service_name"
	labelApp     = "app_name"
	labelSpy     = "pyroscope_spy"
	labelEvent   = "jfr_event"
	// labelSession divides the series of an application by its processes. It is
	// dropped, as Pyroscope does by default (max_sessions_per_series: 0).
	labelSession = "__session_id__"
	// labelDelta with the value "false" tells Pyroscope that counters do not count
	// since the start of the process.
	labelDelta = "__delta__"
)

// maxLabels bounds the labels of a series. Pyroscope accepts 30 by default.
const maxLabels = 1000

// labelCost is the memory of a label as a resource attribute, in bytes.
const labelCost = 100

// serviceName is the resource attribute for Pyroscope's label service_name.
const serviceName = "service.name"

// attributeOf returns the name of the resource attribute for a label.
func attributeOf(label string) string {
	if label == labelService {
		return serviceName
	}
	return label
}

// resource sets attributes for the labels that Pyroscope gives to a profile from
// /ingest. The name of the application becomes the service name, unless a label
// sets that. keepApp then keeps the application as a label of its own, which
// Pyroscope does for all formats but pprof.
func (in *ingestion) resource(attributes pcommon.Map, keepApp bool) {
	attributes.EnsureCapacity(len(in.labels) + 4)
	attributes.PutStr(labelSpy, in.spy)
	for name, value := range in.labels {
		if !strings.HasPrefix(name, "__") {
			attributes.PutStr(attributeOf(name), value)
		}
	}
	attributes.PutStr(labelDelta, "false")
	app := serviceName
	if _, has := attributes.Get(serviceName); has {
		if !keepApp {
			return
		}
		app = labelApp
	}
	if _, has := attributes.Get(app); !has {
		attributes.PutStr(app, in.app)
	}
}
