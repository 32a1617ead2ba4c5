package pyroscopereceiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/bounded/errorlist"
	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// Errors of pushes, with Pyroscope's wording.
var (
	errNoProfiles = errors.New("no profiles received")
	errNoLabels   = errors.New("error at least one label pair is required per profile")
)

// Push implements pushv1connect.PusherServiceHandler. As in Pyroscope, invalid
// profiles are left out and the others accepted.
func (r *pyroscopeReceiver) Push(ctx context.Context, req *connect.Request[pushv1.PushRequest]) (*connect.Response[pushv1.PushResponse], error) {
	obs := r.obsGRPC
	if req.Peer().Protocol == connect.ProtocolConnect {
		obs = r.obsHTTP
	}
	to := newReading(r.maxProfile, r.pool)
	defer to.budget.Close()
	invalid := readPush(to, req.Msg, time.Now())
	profiles := to.batch.Profiles()
	if profiles.ResourceProfiles().Len() == 0 && invalid == nil {
		invalid = errNoProfiles
	}
	if invalid != nil {
		r.refuse(ctx, obs, formatPprof, invalid)
	}
	var err error
	if errors.Is(invalid, errUnavailable) {
		err = invalid // pass nothing on: the client sends everything again
	} else if err = r.consume(ctx, obs, formatPprof, profiles); err == nil {
		r.telemetry.dropped(ctx, to.dropped)
	}
	switch {
	case errors.Is(err, errUnavailable):
		failed := connect.NewError(connect.CodeUnavailable, bounded{err})
		failed.Meta().Set("Retry-After", retryAfter)
		return nil, failed
	case err != nil || invalid != nil:
		return nil, connect.NewError(connect.CodeInvalidArgument, bounded{errors.Join(err, invalid)})
	}
	return connect.NewResponse(&pushv1.PushResponse{}), nil
}

// readPush reads the profiles of a request. It returns the errors of profiles that
// are left out, or errUnavailable if it stopped early.
func readPush(to *reading, req *pushv1.PushRequest, now time.Time) error {
	var invalid errorlist.List
	for i, series := range req.Series {
		labels, name, err := readLabels(series.GetLabels())
		if err != nil {
			invalid.Add(fmt.Errorf("series %d: %w", i, err))
			continue
		}
		for j, sample := range series.Samples {
			mark := to.budget.Used()
			err := readSample(to, sample.GetRawProfile(), labels, name, now)
			if errors.Is(err, errUnavailable) {
				return err
			}
			if err != nil {
				to.budget.Return(mark)
				invalid.Add(fmt.Errorf("series %d: profile %d: %w", i, j, err))
			}
		}
	}
	return invalid.Err()
}

// readLabels converts the labels of a series to attributes, and returns its name.
func readLabels(labels []*typesv1.LabelPair) (attributes pcommon.Map, name string, err error) {
	attributes = pcommon.NewMap()
	if err := checkLabels(labels); err != nil {
		return attributes, "", err
	}
	attributes.EnsureCapacity(len(labels))
	for _, l := range labels {
		switch l.Name {
		case labelName:
			name = l.Value
		case labelSession:
		default:
			attributes.PutStr(attributeOf(l.Name), l.Value)
		}
	}
	return attributes, name, nil
}

// checkLabels returns an error if the labels of a series are invalid. As in
// Pyroscope, names may contain dots, which Pyroscope replaces by underscores.
func checkLabels(labels []*typesv1.LabelPair) error {
	if len(labels) == 0 {
		return errNoLabels
	}
	if len(labels) > maxLabels {
		return fmt.Errorf("has %d labels; use at most %d", len(labels), maxLabels)
	}
	seen := make(map[string]bool, len(labels))
	for _, l := range labels {
		if !isLabelName(l.GetName()) {
			return fmt.Errorf("label %s: is not a label's name; use letters, digits, _ and ., and no digit first", quote(l.GetName()))
		}
		if !model.LabelValue(l.Value).IsValid() || l.Name == labelName && l.Value == "" {
			return fmt.Errorf("label %s: %s is not a valid value", short(l.Name), quote(l.Value))
		}
		key := strings.ReplaceAll(l.Name, ".", "_")
		if seen[key] {
			return fmt.Errorf("label %s: occurs twice", short(l.Name))
		}
		seen[key] = true
	}
	if !seen[labelName] {
		return errors.New("label __name__ is missing; it names the profile, like process_cpu")
	}
	return nil
}

func isLabelName(name string) bool {
	return model.LegacyValidation.IsValidLabelName(strings.ReplaceAll(name, ".", "_"))
}

func readSample(to *reading, raw []byte, labels pcommon.Map, name string, now time.Time) error {
	mark := to.budget.Used()
	data, err := to.unzip(raw)
	if err != nil {
		return err
	}
	p, err := to.decode(pprofconv.Decoder{}, data)
	if err != nil {
		return err
	}
	if p.TimeNanos <= 0 {
		p.TimeNanos = now.UnixNano()
	}
	attributes, err := to.add(p, name, mark, labels.Len())
	if err != nil {
		return err
	}
	labels.CopyTo(attributes)
	if _, ok := labels.Get(labelDelta); !ok {
		to.cumulative(name)
	}
	return nil
}
