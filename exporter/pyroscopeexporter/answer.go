package pyroscopeexporter

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/invar-otel/invar/internal/push/httpanswer"
)

// reason is the name under which Pyroscope counts the same in
// pyroscope_discarded_samples_total, by the words of its answer, which has
// nothing else to tell it.
type reason string

// Reasons that decide what is done, and the exporter's own.
const (
	rateLimited  reason = "rate_limited"
	seriesLimit  reason = "series_limit"
	sizeLimit    reason = "profile_size_limit"
	samplesLimit reason = "samples_limit"
	malformed    reason = "malformed_profile"
	bodyTooLarge reason = "request_body_too_large"
	// invalidTenant is the exporter's own: Pyroscope would take no such tenant.
	invalidTenant reason = "invalid_tenant"
	// negativeValue is the exporter's own: Pyroscope drops such samples.
	negativeValue reason = "negative_value"
	// unknownReason is one that the words don't tell.
	unknownReason reason = "unknown"
)

// known are the words by which a reason is told, in lower case: those of
// pkg/validation/validate.go and pkg/distributor/distributor.go of Pyroscope 1.
var known = []struct {
	words  string
	reason reason
}{
	{"push rate limit", rateLimited},
	{"maximum active series limit exceeded", seriesLimit},
	{"max_profile_size_byte", sizeLimit},
	{"max_profile_stacktrace_samples", samplesLimit},
	{"max_profile_stacktrace_sample_labels", "sample_labels_limit"},
	{"is outside of ingestion window", "not_in_ingestion_window"},
	{"label names; limit", "max_label_names_per_series"},
	{"has label name too long", "label_name_too_long"},
	{"has label value too long", "label_value_too_long"},
	{"has duplicate label name", "duplicate_label_names"},
	{"at least one label pair is required", "missing_labels"},
	{"service name is not provided", "missing_labels"},
	{"invalid labels", "invalid_labels"},
	{"invalid utf8 string", malformed},
	{"id is 0", malformed},
	{"sample type contains", malformed},
	{"reached, next reset at", "ingest_limit_reached"},
	{"is larger than configured max", bodyTooLarge}, // connect, gRPC
	{"request body too large", bodyTooLarge},
}

func reasonOf(words string) reason {
	words = strings.ToLower(words)
	// The words of a limit on sample labels contain those of one on samples.
	found, length := unknownReason, 0
	for _, k := range known {
		if len(k.words) > length && strings.Contains(words, k.words) {
			found, length = k.reason, len(k.words)
		}
	}
	return found
}

// verdict is what becomes of a request.
type verdict int

const (
	accepted verdict = iota
	// refused is for good: what is at fault has to be found and dropped.
	refused
	// delayed is for now: it is tried again.
	delayed
)

// judge decides by what Pyroscope answered. Only few codes speak of the data;
// any other refusal is about the way there (a token, a path, a proxy) and passes
// when someone mends it. status is 0 if nobody answered.
func judge(status int, err error) (verdict, reason) {
	if err == nil {
		return accepted, ""
	}
	why := reasonOf(err.Error())
	var fromServer *connect.Error
	if !errors.As(err, &fromServer) || !connect.IsWireError(err) {
		// A proxy, or a server that does not speak Connect.
		switch status {
		case http.StatusRequestEntityTooLarge:
			return refused, bodyTooLarge
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			return refused, why
		}
		return delayed, why
	}
	switch fromServer.Code() {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange, connect.CodeFailedPrecondition, connect.CodeUnimplemented:
		return refused, why
	case connect.CodeResourceExhausted:
		// New series are refused until others end, and waiting for that would hold
		// back all the others.
		if why == seriesLimit || why == bodyTooLarge {
			return refused, why
		}
	}
	return delayed, why
}

// exchange is what the client saw of a request's answer beside its outcome:
// Connect's errors don't hold the status.
type exchange struct {
	status     int // 0: no answer
	retryAfter time.Duration
}

type exchangeKey struct{}

// withExchange makes the client note what it sees.
func withExchange(ctx context.Context) (context.Context, *exchange) {
	x := new(exchange)
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// observed is the HTTP client under Connect's. It implements connect.HTTPClient.
type observed struct{ client *http.Client }

// Do sends a request and notes the answer in the context's exchange.
func (o observed) Do(r *http.Request) (*http.Response, error) {
	resp, err := o.client.Do(r)
	if err != nil {
		return nil, err
	}
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		x.status, x.retryAfter = resp.StatusCode, httpanswer.RetryAfter(resp, time.Now())
	}
	if resp.StatusCode/100 == 3 {
		defer resp.Body.Close()
		return nil, httpanswer.Error(resp)
	}
	resp.Body = limitedBody{io.LimitReader(resp.Body, maxAnswerSize), resp.Body}
	return resp, nil
}

// maxAnswerSize is how much of an answer is read, decompressed, in bytes. Pyroscope's
// repeat the labels of all series that are at fault.
const maxAnswerSize = 1 << 20

type limitedBody struct {
	io.Reader
	io.Closer
}
