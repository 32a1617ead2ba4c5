package pprofconv

// NameAttribute is the scope attribute with the name of the profile, which is the label
// __name__ in Pyroscope.
const NameAttribute = "pyroscope.profile.name"

// CumulativeAttribute is the scope attribute that is true if counters like alloc_space may
// be totals since the start of the process, because the sender did not say. Without it
// they cover the duration of the profile.
const CumulativeAttribute = "pyroscope.profile.cumulative"

// Attributes of mappings that hold a build ID, from OpenTelemetry's semantic conventions. In
// pprof, a mapping has the first one that is set.
const (
	AttrBuildIDGNU  = "process.executable.build_id.gnu"
	AttrBuildIDGo   = "process.executable.build_id.go"
	AttrBuildIDHash = "process.executable.build_id.htlhash"
)

// Other attributes from the conventions: of mappings and locations, of profiles, and the
// default sample type of scopes.
const (
	attrHasFunctions    = "pprof.mapping.has_functions"
	attrHasFilenames    = "pprof.mapping.has_filenames"
	attrHasLineNumbers  = "pprof.mapping.has_line_numbers"
	attrHasInlineFrames = "pprof.mapping.has_inline_frames"
	attrIsFolded        = "pprof.location.is_folded"

	attrComment     = "pprof.profile.comment"
	attrDocURL      = "pprof.profile.doc_url"
	attrDropFrames  = "pprof.profile.drop_frames"
	attrKeepFrames  = "pprof.profile.keep_frames"
	attrDefaultType = "pprof.scope.default_sample_type"
)

// Labels with the span in which a sample was taken. Pyroscope selects the profile of a span
// by span_id.
const (
	labelSpanID  = "span_id"
	labelTraceID = "trace_id"
)
