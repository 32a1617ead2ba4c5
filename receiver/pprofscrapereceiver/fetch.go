package pprofscrapereceiver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/invar-otel/invar/internal/config/bytesize"
	"github.com/invar-otel/invar/internal/push/httpanswer"
)

// reason is why a scrape failed: a value of the attribute reason of the metric
// failed_scrapes.
type reason string

const (
	reasonConnection reason = "connection"
	reasonTimeout    reason = "timeout"
	reasonStatus     reason = "status"
	reasonTooLarge   reason = "too_large"
	reasonInvalid    reason = "invalid"
	reasonPipeline   reason = "pipeline"
)

// failure is the error of a scrape with its reason.
type failure struct {
	reason reason
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fetcher fetches profiles. It is safe for concurrent use.
type fetcher struct {
	client *http.Client
	reader reader // its limit applies to an answer as sent and as decompressed
}

// fetch fetches a profile. The caller must call done on it. All errors are
// *failure.
func (f *fetcher) fetch(ctx context.Context, target string) (*scraped, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, &failure{reasonConnection, err}
	}
	resp, err := f.client.Do(req)
	if err != nil {
		// Drop the URL, which the caller logs.
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, f.failure(ctx, fmt.Errorf("ask the target: %w", err), reasonConnection)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		err := httpanswer.Error(resp)
		httpanswer.Drain(resp)
		return nil, &failure{reasonStatus, err}
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer release(buf)
	body := &network{Reader: resp.Body}
	if err := f.decompress(buf, body); err != nil {
		if body.broken {
			return nil, f.failure(ctx, err, reasonConnection)
		}
		return nil, f.failure(ctx, err, reasonInvalid)
	}
	return f.reader.read(ctx, buf.Bytes())
}

// network records whether the connection broke, as opposed to an answer that is
// incomplete.
type network struct {
	io.Reader
	broken bool
}

// Read implements io.Reader.
func (n *network) Read(p []byte) (int, error) {
	read, err := n.Reader.Read(p)
	n.broken = n.broken || err != nil && !errors.Is(err, io.EOF)
	return read, err
}

// failure returns the failure for err: too large, a timeout, or otherwise the given
// reason.
func (f *fetcher) failure(ctx context.Context, err error, otherwise reason) *failure {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &failure{reasonTooLarge, fmt.Errorf("the profile is larger than body_size_limit, %s", bytesize.Size(f.reader.limit))}
	case ctx.Err() != nil:
		return &failure{reasonTimeout, fmt.Errorf("the target did not answer in time: %w", err)}
	}
	return &failure{otherwise, err}
}

// buffers holds buffers for decompressed profiles.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keepBuffer is the largest buffer that is reused, in bytes. Larger ones, of rare
// large profiles, are left to the garbage collector.
const keepBuffer = 4 << 20

func release(buf *bytes.Buffer) {
	if buf.Cap() <= keepBuffer {
		buf.Reset()
		buffers.Put(buf)
	}
}

// compressions bounds the layers of gzip in an answer: the profile's own, and that
// of a proxy with Content-Encoding.
const compressions = 2

// decompress reads an answer into buf and decompresses it.
func (f *fetcher) decompress(buf *bytes.Buffer, body io.Reader) error {
	limited := func(r io.Reader) *bufio.Reader {
		return bufio.NewReader(http.MaxBytesReader(nil, io.NopCloser(r), f.reader.limit))
	}
	r := limited(body)
	for layer := 0; isGzip(r); layer++ {
		if layer == compressions {
			return fmt.Errorf("the answer is compressed more than %d times", compressions)
		}
		decompressed, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("decompress the answer: %w", err)
		}
		r = limited(decompressed)
	}
	if _, err := buf.ReadFrom(r); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func isGzip(r *bufio.Reader) bool {
	magic, _ := r.Peek(2) // the next read returns the error again
	return bytes.Equal(magic, []byte{0x1f, 0x8b})
}
