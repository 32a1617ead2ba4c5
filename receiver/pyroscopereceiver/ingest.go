package pyroscopereceiver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/pyroscope/api/model/labelset"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// Pyroscope serves /ingest on both paths.
const (
	ingestPath         = "/ingest"
	prefixedIngestPath = "/pyroscope/ingest"
)

// Formats of a body, as the query parameter format names them.
const (
	formatPprof  = "pprof"
	formatJFR    = "jfr"
	formatGroups = "groups"
	formatLines  = "lines"
)

// defaultSampleRate is Pyroscope's, in samples per second.
const defaultSampleRate = 100

var (
	errTooLarge = pprofconv.ErrTooLarge
	errFormat   = errors.New("is not supported; use pprof, jfr, groups or lines")
)

// ingestion is the query of a request to /ingest.
type ingestion struct {
	labels      map[string]string // without the name
	app         string
	from, until time.Time
	sampleRate  int64 // per second; 0 means not to scale values
	spy         string
}

// ingest answers a push to /ingest.
func (r *pyroscopeReceiver) ingest(w http.ResponseWriter, req *http.Request) {
	to := newReading(r.maxProfile, r.pool)
	defer to.budget.Close()
	format, err := r.decode(to, req)
	if err != nil {
		r.refuse(req.Context(), r.obsHTTP, format, bounded{err})
	} else {
		err = r.consume(req.Context(), r.obsHTTP, format, to.batch.Profiles())
	}
	if err == nil {
		r.telemetry.dropped(req.Context(), to.dropped)
	}
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, errUnavailable):
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", retryAfter)
	case errors.Is(err, errTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, errFormat):
		status = http.StatusUnsupportedMediaType
	}
	http.Error(w, bounded{err}.Error(), status)
}

// decode reads a request. confighttp has already decompressed the body.
func (r *pyroscopeReceiver) decode(to *reading, req *http.Request) (format string, err error) {
	query := req.URL.Query()
	content := req.Header.Get("Content-Type")
	if format, err = formatOf(query.Get("format"), content); err != nil {
		return format, err
	}
	in, err := parseQuery(query, time.Now())
	if err != nil {
		return format, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, req.Body, r.maxBody))
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			err = fmt.Errorf("the request is %w: limit: %d bytes", errTooLarge, tooLarge.Limit)
		}
		return format, err
	}
	switch format {
	case formatPprof:
		err = in.pprof(to, body, content)
	case formatJFR:
		err = in.jfr(to, body, content)
	default:
		err = in.folded(to, format, body)
	}
	if err != nil {
		err = fmt.Errorf("format %s: %w", format, err)
	}
	return format, err
}

// formatOf returns the format of a body. Like Pyroscope's handler, it also
// recognises older formats by Content-Type, and defaults to pprof for a form and to
// groups for anything else.
func formatOf(format, content string) (string, error) {
	switch {
	case strings.HasPrefix(content, "binary/octet-stream+"):
		older := strings.TrimPrefix(content, "binary/octet-stream+")
		if older == "trie" || older == "tree" {
			return older, fmt.Errorf("Content-Type %s: format %q %w", quote(content), older, errFormat)
		}
	case format == "" && isForm(content):
		return formatPprof, nil
	}
	switch format {
	case formatPprof, formatJFR, formatLines:
		return format, nil
	case "", formatGroups, "folded", "collapsed":
		return formatGroups, nil
	}
	return "unknown", fmt.Errorf("format %s %w", quote(format), errFormat)
}

// parseQuery reads everything but the format.
func parseQuery(query url.Values, now time.Time) (*ingestion, error) {
	name := query.Get("name")
	set, err := labelset.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("name: %s: %w; write it like shop{region=eu}", quote(name), err)
	}
	if n := len(set.Labels()); n > maxLabels {
		return nil, fmt.Errorf("name: %s: has %d labels; use at most %d", quote(name), n, maxLabels)
	}
	in := &ingestion{
		app: set.ServiceName(), labels: set.Labels(), from: now, until: now,
		sampleRate: defaultSampleRate, spy: "unknown",
	}
	delete(in.labels, labelset.ReservedLabelNameName)
	var errs error
	for key, t := range map[string]*time.Time{"from": &in.from, "until": &in.until} {
		if v := query.Get(key); v != "" {
			if *t, err = parseTime(v); err != nil {
				errs = errors.Join(errs, fmt.Errorf("%s: %w", key, err))
			}
		}
	}
	if in.until.Before(in.from) {
		in.until = in.from
	}
	// As in Pyroscope, an invalid rate means the default.
	if v, err := strconv.ParseInt(query.Get("sampleRate"), 10, 64); err == nil && v >= 0 && v <= int64(time.Second) {
		in.sampleRate = v
	}
	if v := query.Get("spyName"); v != "" {
		in.spy = v
	}
	return in, errs
}

// parseTime parses a Unix time. Like Pyroscope, it derives the unit from the number
// of digits (pkg/og/util/attime).
func parseTime(text string) (time.Time, error) {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 {
		return time.Time{}, fmt.Errorf("%s is not a Unix time; write it like 1700000000, in seconds, milli-, micro- or nanoseconds", quote(text))
	}
	switch len(text) {
	case 13:
		return time.UnixMilli(v), nil
	case 16:
		return time.UnixMicro(v), nil
	case 19:
		return time.Unix(0, v), nil
	}
	if v > 1<<33 { // the year 2242; nanoseconds since 1970 end in 2262
		return time.Time{}, fmt.Errorf("%q is a Unix time in no known unit: seconds have 10 digits, milliseconds 13, microseconds 16, nanoseconds 19", text)
	}
	return time.Unix(v, 0), nil
}

func isForm(content string) bool { return strings.HasPrefix(content, "multipart/form-data") }

// maxParts bounds the parts of a form; clients send up to three.
const maxParts = 32

// readForm returns the parts of a form with the given names. If a name occurs more
// than once, the first part wins.
func readForm(body []byte, content string, names ...string) (map[string][]byte, error) {
	_, parameters, err := mime.ParseMediaType(content)
	if err != nil {
		return nil, fmt.Errorf("Content-Type %s: %w", quote(content), err)
	}
	if parameters["boundary"] == "" {
		return nil, fmt.Errorf("Content-Type %s has no boundary", quote(content))
	}
	parts := map[string][]byte{}
	reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for range maxParts {
		part, err := reader.NextPart()
		if err == io.EOF { //nolint:errorlint // a truncated form ends with an error that wraps io.EOF
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read form: %w", err)
		}
		name := part.FormName()
		if _, ok := parts[name]; ok || !slices.Contains(names, name) {
			continue
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("read form: part %q: %w", name, err)
		}
		parts[name] = data
	}
	return nil, fmt.Errorf("read form: it has more than %d parts", maxParts)
}
