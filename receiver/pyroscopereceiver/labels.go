package pyroscopereceiver

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Labels that mean something to Pyroscope (pkg/model/labels.go).
const (
	labelName    = "__name__"
	labelService = "service_name"
	labelApp     = "app_name"
	labelSpy     = "pyroscope_spy"
	labelEvent   = "jfr_event"
	// labelSession divides the series of an application by its processes. It is
	// dropped, as Pyroscope does by default (max_sessions_per_series: 0).
	labelSession = "__session_id__"
	// labelDelta keeps Pyroscope, with the value "false", from taking allocations
	// for those since the start of the process.
	labelDelta = "__delta__"
)

// maxLabels is how many labels a series may have here. Pyroscope takes 30 by default.
const maxLabels = 1000

// labelCost is what a label takes as an attribute of a resource, in bytes.
const labelCost = 100

// serviceName is the attribute of the service, which is Pyroscope's label
// service_name.
const serviceName = "service.name"

// attributeOf is the name of the resource attribute that keeps a label.
func attributeOf(label string) string {
	if label == labelService {
		return serviceName
	}
	return label
}

// resource sets the attributes that stand for the labels which Pyroscope gives
// a profile from /ingest. The name of the application is the service's unless a
// label names that; keepApp then keeps it as a label of its own, as Pyroscope
// does for all formats but pprof.
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
