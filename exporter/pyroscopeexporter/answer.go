package pyroscopeexporter

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/invar-otel/invar/internal/push"
	"github.com/invar-otel/invar/internal/push/httpanswer"
)

// Reasons of Pyroscope that the exporter handles. They are the names in
// pyroscope_discarded_samples_total, and only the text of an answer reveals them.
const (
	seriesLimit  push.Reason = "series_limit"
	sizeLimit    push.Reason = "profile_size_limit"
	samplesLimit push.Reason = "samples_limit"
	malformed    push.Reason = "malformed_profile"
	// negativeValue is the exporter's own. Pyroscope would drop such samples silently.
	negativeValue push.Reason = "negative_value"
)

// isTooLarge reports whether a smaller profile may be accepted.
func isTooLarge(why push.Reason) bool {
	return why == sizeLimit || why == samplesLimit || why == push.BodyTooLarge
}

// known are texts that reveal a reason, in lower case: those of
// pkg/validation/validate.go and pkg/distributor/distributor.go of Pyroscope 1.
var known = []struct {
	words  string
	reason push.Reason
}{
	{"push rate limit", push.RateLimited},
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
	{"is larger than configured max", push.BodyTooLarge}, // connect, gRPC
	{"request body too large", push.BodyTooLarge},
}

// reasonOf returns the reason that the text of an answer reveals.
func reasonOf(text string) push.Reason {
	text = strings.ToLower(text)
	// The longest match counts: the text for the limit of sample labels contains the
	// one for the limit of samples.
	found, length := push.UnknownReason, 0
	for _, k := range known {
		if len(k.words) > length && strings.Contains(text, k.words) {
			found, length = k.reason, len(k.words)
		}
	}
	return found
}

// judge returns what an answer means. Only a few codes concern the data. Any other
// refusal concerns the way to the store (a token, a path, a proxy) and lasts until
// somebody corrects it. status is 0 if there was no answer.
func judge(status int, err error) (push.Verdict, push.Reason) {
	if err == nil {
		return push.Accepted, ""
	}
	why := reasonOf(err.Error())
	var fromServer *connect.Error
	if !errors.As(err, &fromServer) || !connect.IsWireError(err) {
		// A proxy, or a server that does not speak Connect.
		switch status {
		case http.StatusRequestEntityTooLarge:
			return push.Refused, push.BodyTooLarge
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			return push.Refused, why
		}
		return push.Delayed, why
	}
	switch fromServer.Code() {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange, connect.CodeFailedPrecondition, connect.CodeUnimplemented:
		return push.Refused, why
	case connect.CodeResourceExhausted:
		// New series are refused until others end. Waiting for that would hold back all
		// other series.
		if why == seriesLimit || why == push.BodyTooLarge {
			return push.Refused, why
		}
	}
	return push.Delayed, why
}

// exchange has the parts of an HTTP answer that Connect's errors do not have.
type exchange struct {
	status     int // 0: no answer
	retryAfter time.Duration
}

type exchangeKey struct{}

// withExchange returns a context for a request whose answer is recorded in the
// exchange.
func withExchange(ctx context.Context) (context.Context, *exchange) {
	x := new(exchange)
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// recordingClient is the HTTP client of Connect's. It implements connect.HTTPClient.
type recordingClient struct{ client *http.Client }

// Do sends a request and records the answer in the context's exchange.
func (c recordingClient) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.client.Do(r)
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

// maxAnswerSize is how much of a decompressed answer is read, in bytes. Pyroscope's
// answers repeat the labels of all series at fault.
const maxAnswerSize = 1 << 20

type limitedBody struct {
	io.Reader
	io.Closer
}
