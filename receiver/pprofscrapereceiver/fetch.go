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

// reason is why a scrape failed, as the metric failed_scrapes has it.
type reason string

const (
	reasonConnection reason = "connection"
	reasonTimeout    reason = "timeout"
	reasonStatus     reason = "status"
	reasonTooLarge   reason = "too_large"
	reasonInvalid    reason = "invalid"
	reasonPipeline   reason = "pipeline"
)

// failure is an error of a scrape with its reason.
type failure struct {
	reason reason
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fetcher gets profiles. It may be used concurrently.
type fetcher struct {
	client *http.Client
	reader // its limit is that of an answer, as sent and as decompressed
}

// fetch gets a profile. The caller must call its done. Errors are a *failure.
func (f *fetcher) fetch(ctx context.Context, target string) (*scraped, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, &failure{reasonConnection, err}
	}
	resp, err := f.client.Do(req)
	if err != nil {
		// The address is in the error as it is in what is logged beside it.
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, f.broken(ctx, fmt.Errorf("ask the target: %w", err), reasonConnection)
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
			return nil, f.broken(ctx, err, reasonConnection)
		}
		return nil, f.broken(ctx, err, reasonInvalid)
	}
	return f.read(ctx, buf.Bytes())
}

// network tells a connection that broke from an answer that is not whole.
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

// broken is the failure that err means if nothing more is known than that.
func (f *fetcher) broken(ctx context.Context, err error, otherwise reason) *failure {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &failure{reasonTooLarge, fmt.Errorf("the profile is larger than body_size_limit, %s", bytesize.Size(f.limit))}
	case ctx.Err() != nil:
		return &failure{reasonTimeout, fmt.Errorf("the target did not answer in time: %w", err)}
	}
	return &failure{otherwise, err}
}

// buffers are for profiles as decompressed. Those that a rare large profile
// grew are left to the garbage collector.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keepBuffer = 4 << 20

func release(buf *bytes.Buffer) {
	if buf.Cap() <= keepBuffer {
		buf.Reset()
		buffers.Put(buf)
	}
}

// compressions is how many layers of gzip an answer may have: the profile's, and
// one of a proxy that compresses what passes, as its Content-Encoding says.
const compressions = 2

// decompress reads an answer and decompresses it.
func (f *fetcher) decompress(buf *bytes.Buffer, body io.Reader) error {
	limited := func(r io.Reader) *bufio.Reader {
		return bufio.NewReader(http.MaxBytesReader(nil, io.NopCloser(r), f.limit))
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
	magic, _ := r.Peek(2) // an error is there again for who reads
	return bytes.Equal(magic, []byte{0x1f, 0x8b})
}
