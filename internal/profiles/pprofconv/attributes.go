package pprofconv

// NameAttribute is the attribute of a ScopeProfiles' scope that names the
// profile: what Pyroscope keeps as the label __name__.
const NameAttribute = "pyroscope.profile.name"

// CumulativeAttribute is the attribute of a ScopeProfiles' scope that tells, if it is
// true, that counters like alloc_space may count since the start of the process:
// whoever sent them did not say. Without it they are what came during the profile.
const CumulativeAttribute = "pyroscope.profile.cumulative"

// Attributes of mappings that hold a build ID, by OpenTelemetry's semantic
// conventions. The first that there is becomes the build ID of a pprof mapping.
const (
	AttrBuildIDGNU  = "process.executable.build_id.gnu"
	AttrBuildIDGo   = "process.executable.build_id.go"
	AttrBuildIDHash = "process.executable.build_id.htlhash"
)

// Other attributes of the conventions: of mappings and locations, of profiles, and
// of scopes the default sample type.
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

// Labels of a sample that name the span it was taken in. Pyroscope selects the
// profile of a span by span_id.
const (
	labelSpanID  = "span_id"
	labelTraceID = "trace_id"
)
