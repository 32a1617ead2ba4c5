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

// batch is the request that the queue holds and merges. It keeps messages apart:
// exporterhelper's own request merges their dictionaries by comparing every entry of
// one with every entry of the other, so that a batch of a few large profiles takes
// minutes of CPU. Every series becomes a pprof message with its own tables anyway.
//
// A batch also records which profiles are done, so that another attempt sends only
// the rest. It is not safe for concurrent use.
type batch struct{ parts []*part }

// part is a message as it came to the exporter.
type part struct {
	data    pprofile.Profiles
	samples int // in all of data
	bytes   int // of data as protobuf
	// done reports for each profile, by ordinal, whether it was accepted or dropped,
	// or has nothing to send. It is nil before the first attempt.
	done    []bool
	counted []bool // the profiles whose samples with negative values are counted
	seen    int    // number of resources whose conflicting labels are counted
}

// newBatch makes a request for exporterhelper.
func newBatch(_ context.Context, pd pprofile.Profiles) (xexporterhelper.Request, error) {
	var size pprofile.ProtoMarshaler
	return &batch{parts: []*part{{data: pd, samples: pd.SampleCount(), bytes: size.ProfilesSize(pd)}}}, nil
}

// ItemsCount implements xexporterhelper.Request. Items are samples.
func (b *batch) ItemsCount() int {
	n := 0
	for _, p := range b.parts {
		n += p.samples
	}
	return n
}

// BytesSize implements xexporterhelper.Request. The size is that of the messages in
// protobuf.
func (b *batch) BytesSize() int {
	n := 0
	for _, p := range b.parts {
		n += p.bytes
	}
	return n
}

// MergeSplit implements xexporterhelper.Request. It does not split a message, even
// if that is larger than maxSize: max_request_size limits what is sent.
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
	return xexporterhelper.QueueBatchSettings{Encoding: encoding{}, ReferenceCounter: neverFreed{}}
}

// encoding stores requests as exporterhelper stores profiles.
type encoding struct{}

// Marshal implements exporterhelper.QueueBatchEncoding.
func (encoding) Marshal(ctx context.Context, r xexporterhelper.Request) ([]byte, error) {
	req, ok := r.(*batch)
	if !ok || len(req.parts) != 1 {
		return nil, errors.New("only a single message can be stored, not a batch")
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

// neverFreed references profiles and never releases them: the queue releases a
// request that it moves into a batch, which still needs the profiles. So the garbage
// collector frees their memory, and pdata does not reuse it.
type neverFreed struct{}

// Ref implements exporterhelper's ReferenceCounter.
func (neverFreed) Ref(r xexporterhelper.Request) {
	for _, p := range r.(*batch).parts {
		pref.RefProfiles(p.data)
	}
}

// Unref implements exporterhelper's ReferenceCounter.
func (neverFreed) Unref(xexporterhelper.Request) {}
