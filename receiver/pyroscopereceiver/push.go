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

	"github.com/invar-otel/invar/internal/pprofconv"
)

// Errors of pushes, in Pyroscope's words.
var (
	errNoProfiles = errors.New("no profiles received")
	errNoLabels   = errors.New("error at least one label pair is required per profile")
)

// Push implements pushv1connect.PusherServiceHandler. What is wrong with some
// profiles does not keep the others from being taken, as with Pyroscope.
func (r *pyroscopeReceiver) Push(ctx context.Context, req *connect.Request[pushv1.PushRequest]) (*connect.Response[pushv1.PushResponse], error) {
	obs := r.obsGRPC
	if req.Peer().Protocol == connect.ProtocolConnect {
		obs = r.obsHTTP
	}
	batch := pprofconv.NewBatch()
	invalid := readPush(batch, req.Msg, r.maxProfile, time.Now())
	profiles := batch.Profiles()
	if profiles.ResourceProfiles().Len() == 0 && invalid == nil {
		invalid = errNoProfiles
	}
	if invalid != nil {
		r.refuse(ctx, obs, formatPprof, invalid)
	}
	err := r.consume(ctx, obs, formatPprof, profiles)
	switch {
	case errors.Is(err, errUnavailable):
		failed := connect.NewError(connect.CodeUnavailable, err)
		failed.Meta().Set("Retry-After", retryAfter)
		return nil, failed
	case err != nil || invalid != nil:
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.Join(err, invalid))
	}
	return connect.NewResponse(&pushv1.PushResponse{}), nil
}

// readPush adds the profiles of a request to a batch, and returns what is wrong
// with those that are left out.
func readPush(to *pprofconv.Batch, req *pushv1.PushRequest, limit int, now time.Time) error {
	var errs error
	for i, series := range req.Series {
		if err := checkLabels(series.GetLabels()); err != nil {
			errs = errors.Join(errs, fmt.Errorf("series %d: %w", i, err))
			continue
		}
		for j, sample := range series.Samples {
			if err := readSample(to, sample.GetRawProfile(), series.Labels, limit, now); err != nil {
				errs = errors.Join(errs, fmt.Errorf("series %d: profile %d: %w", i, j, err))
			}
		}
	}
	return errs
}

// checkLabels tells what is wrong with the labels of a series. Like Pyroscope's,
// their names may have dots, which it makes "_".
func checkLabels(labels []*typesv1.LabelPair) error {
	if len(labels) == 0 {
		return errNoLabels
	}
	seen := make(map[string]bool, len(labels))
	for _, l := range labels {
		if !isLabelName(l.GetName()) {
			return fmt.Errorf("label %s: is not a label's name; use letters, digits, _ and ., and no digit first", quote(l.GetName()))
		}
		if !model.LabelValue(l.Value).IsValid() || l.Name == labelName && l.Value == "" {
			return fmt.Errorf("label %s: %s is not a valid value", l.Name, quote(l.Value))
		}
		key := strings.ReplaceAll(l.Name, ".", "_")
		if seen[key] {
			return fmt.Errorf("label %s: is there twice", l.Name)
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

func readSample(to *pprofconv.Batch, raw []byte, labels []*typesv1.LabelPair, limit int, now time.Time) error {
	data, err := inflate(raw, limit)
	if err != nil {
		return err
	}
	p, err := parsePprof(data, limit)
	if err != nil {
		return err
	}
	if p.TimeNanos <= 0 {
		p.TimeNanos = now.UnixNano()
	}
	name := ""
	for _, l := range labels {
		if l.Name == labelName {
			name = l.Value
		}
	}
	attributes, err := convert(to, p, name)
	if err != nil {
		return err
	}
	attributes.EnsureCapacity(len(labels))
	for _, l := range labels {
		if l.Name != labelName && l.Name != labelSession {
			attributes.PutStr(attributeOf(l.Name), l.Value)
		}
	}
	return nil
}
