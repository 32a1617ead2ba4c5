package pyroscopeexporter

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"
	pdatareq "go.opentelemetry.io/collector/pdata/xpdata/request"
)

// batch is what the queue holds and merges: messages side by side.
// exporterhelper's own request would merge their dictionaries, for which it
// compares every entry of one with every entry of the other; a batch of a few
// large profiles then takes minutes of CPU. Pyroscope gets a pprof message with
// its own tables for every series anyway.
//
// It also remembers what is done, so that an attempt that failed half way is
// repeated for the rest only. One goroutine uses it at a time.
type batch struct{ parts []*part }

// part is one message that came to the exporter.
type part struct {
	data    pprofile.Profiles
	samples int // in all of data
	bytes   int // of data as protobuf
	// done tells of each profile, by ordinal, that it was accepted, refused for
	// good, or has nothing to send. It is nil before the first attempt.
	done []bool
	told []bool // the same of samples with negative values, which are counted
	seen int    // resources whose conflicting labels are counted
}

// newBatch is what exporterhelper makes a request with.
func newBatch(_ context.Context, pd pprofile.Profiles) (xexporterhelper.Request, error) {
	var size pprofile.ProtoMarshaler
	return &batch{parts: []*part{{data: pd, samples: pd.SampleCount(), bytes: size.ProfilesSize(pd)}}}, nil
}

// ItemsCount implements xexporterhelper.Request: samples.
func (b *batch) ItemsCount() int {
	n := 0
	for _, p := range b.parts {
		n += p.samples
	}
	return n
}

// BytesSize implements xexporterhelper.Request: of the messages as protobuf.
func (b *batch) BytesSize() int {
	n := 0
	for _, p := range b.parts {
		n += p.bytes
	}
	return n
}

// MergeSplit implements xexporterhelper.Request. A message stays whole, also if
// it is larger than maxSize alone: what is sent is divided by max_request_size.
func (b *batch) MergeSplit(_ context.Context, maxSize int, sizer exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	parts := b.parts
	if other != nil {
		o, ok := other.(*batch)
		if !ok {
			return nil, fmt.Errorf("merge a %T with profiles", other)
		}
		parts = append(parts[:len(parts):len(parts)], o.parts...)
	}
	if maxSize == 0 {
		return []xexporterhelper.Request{&batch{parts: parts}}, nil
	}
	var all []xexporterhelper.Request
	current, size := &batch{}, 0
	for _, p := range parts {
		n := p.size(sizer)
		if len(current.parts) > 0 && size+n > maxSize {
			all = append(all, current)
			current, size = &batch{}, 0
		}
		current.parts = append(current.parts, p)
		size += n
	}
	return append(all, current), nil
}

func (p *part) size(sizer exporterhelper.RequestSizerType) int {
	switch sizer {
	case exporterhelper.RequestSizerTypeBytes:
		return p.bytes
	case exporterhelper.RequestSizerTypeItems:
		return p.samples
	default:
		return 1
	}
}

func queueSettings() xexporterhelper.QueueBatchSettings {
	return xexporterhelper.QueueBatchSettings{Encoding: encoding{}, ReferenceCounter: kept{}}
}

// encoding stores requests as exporterhelper stores profiles.
type encoding struct{}

// Marshal implements exporterhelper.QueueBatchEncoding.
func (encoding) Marshal(ctx context.Context, r xexporterhelper.Request) ([]byte, error) {
	req, ok := r.(*batch)
	if !ok || len(req.parts) != 1 {
		return nil, errors.New("only what has just come is stored, not a batch")
	}
	return pdatareq.MarshalProfiles(ctx, req.parts[0].data)
}

// Unmarshal implements exporterhelper.QueueBatchEncoding.
func (encoding) Unmarshal(stored []byte) (context.Context, xexporterhelper.Request, error) {
	ctx, pd, err := pdatareq.UnmarshalProfiles(stored)
	if errors.Is(err, pdatareq.ErrInvalidFormat) { // stored without a context
		var u pprofile.ProtoUnmarshaler
		pd, err = u.UnmarshalProfiles(stored)
	}
	if err != nil {
		return ctx, nil, fmt.Errorf("read profiles from the queue: %w", err)
	}
	req, err := newBatch(ctx, pd)
	return ctx, req, err
}

// kept tells pdata that profiles are in use, and never that they are not any
// more: the queue gives up its reference when a request moves into a batch,
// which still needs it. So their memory is the garbage collector's, not pdata's
// pool's.
type kept struct{}

// Ref implements exporterhelper's ReferenceCounter.
func (kept) Ref(r xexporterhelper.Request) {
	for _, p := range r.(*batch).parts {
		pref.RefProfiles(p.data)
	}
}

// Unref implements exporterhelper's ReferenceCounter.
func (kept) Unref(xexporterhelper.Request) {}
