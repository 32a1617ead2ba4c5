package nativescrape

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
)

var errBodySize = errors.New("body size limit exceeded")

// fetcher requests a target's exposition. It must be used by one goroutine only.
type fetcher struct {
	client  *http.Client
	url     string
	timeout time.Duration
	limit   int64 // of the uncompressed body in bytes; 0 for none
	accept  string
	gzip    bool

	request *http.Request
	unzip   *gzip.Reader
	buffer  *bufio.Reader
}

// acceptHeader returns an Accept header (RFC 9110) with the protocols in order of
// preference and the weights that Prometheus sends.
func acceptHeader(protocols []promconfig.ScrapeProtocol, scheme model.EscapingScheme) string {
	var b strings.Builder
	weight := len(promconfig.ScrapeProtocolsHeaders) + 1
	for _, p := range protocols {
		b.WriteString(promconfig.ScrapeProtocolsHeaders[p])
		if p == promconfig.PrometheusText1_0_0 || p == promconfig.OpenMetricsText1_0_0 {
			b.WriteString(";" + model.EscapingKey + "=" + scheme.String())
		}
		fmt.Fprintf(&b, ";q=0.%d,", weight)
		weight--
	}
	fmt.Fprintf(&b, "*/*;q=0.%d", weight)
	return b.String()
}

// fetch reads the exposition into body and returns its content type.
func (f *fetcher) fetch(ctx context.Context, body *bytes.Buffer) (string, error) {
	if f.request == nil {
		req, err := http.NewRequest(http.MethodGet, f.url, http.NoBody)
		if err != nil {
			return "", err
		}
		req.Header.Set("Accept", f.accept)
		req.Header.Set("Accept-Encoding", "identity")
		if f.gzip {
			req.Header.Set("Accept-Encoding", "gzip")
		}
		req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(f.timeout.Seconds(), 'f', -1, 64))
		f.request = req
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	resp, err := f.client.Do(f.request.WithContext(ctx))
	if err != nil {
		return "", err
	}
	defer func() {
		_, _ = io.Copy(io.Discard, resp.Body) // so the connection is reused; bounded by the timeout
		_ = resp.Body.Close()
	}()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("server returned HTTP status %s", resp.Status)
	}
	from, err := f.decompress(resp)
	if err != nil {
		return "", err
	}
	limit := f.limit
	if limit <= 0 {
		limit = math.MaxInt64
	}
	if n := resp.ContentLength; n > 0 && n < limit && resp.Header.Get("Content-Encoding") == "" {
		body.Grow(int(n) + bytes.MinRead) // one read instead of repeated doubling
	}
	n, err := body.ReadFrom(io.LimitReader(from, limit))
	if err != nil {
		return "", err
	}
	if n >= limit {
		return "", errBodySize
	}
	return resp.Header.Get("Content-Type"), nil
}

// decompress returns a reader of the uncompressed body.
func (f *fetcher) decompress(resp *http.Response) (io.Reader, error) {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body, nil
	}
	if f.unzip == nil {
		f.buffer = bufio.NewReader(resp.Body)
		var err error
		f.unzip, err = gzip.NewReader(f.buffer)
		return f.unzip, err
	}
	f.buffer.Reset(resp.Body)
	return f.unzip, f.unzip.Reset(f.buffer)
}
