package connecttransport

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/invar-otel/invar/internal/remoteconf"
)

const (
	// maxAnswer bounds the bytes of an answer: the largest content and its envelope.
	maxAnswer = remoteconf.MaxSize + 64<<10
	// maxRefusal bounds the bytes of an answer that is an error.
	maxRefusal = 64 << 10
	// maxRedirects bounds consecutive redirects.
	maxRedirects = 3
)

// bounded limits the size of answers. connect's own limit is not enough: it does not
// apply to errors, and connect reads what exceeds it, decompressed, to the end.
// Compression is therefore left to the http.Transport below, and the limit applies to
// its output.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	limit := int64(maxRefusal)
	if resp.StatusCode == http.StatusOK {
		limit = maxAnswer
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, limit: limit, left: limit}
	return resp, nil
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (b *bounded) CloseIdleConnections() {
	if next, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

type limitedBody struct {
	io.ReadCloser
	limit, left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &tooLargeError{b.limit}
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than allowed, to tell the limit from the end
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, &tooLargeError{b.limit}
	}
	return n, err
}

// tooLargeError is returned for an answer that exceeds a limit.
type tooLargeError struct{ limit int64 }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("the answer is larger than %d bytes", e.limit)
}

// sameHost refuses redirects to another host or scheme, because the request has
// credentials and describes the collector.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case req.URL.Host != first.Host || req.URL.Scheme != first.Scheme:
		return fmt.Errorf("the server redirects to %s://%s, which is not followed; configure that URL if it is right", req.URL.Scheme, req.URL.Host)
	case req.Method != http.MethodPost:
		return errors.New("the server redirects in a way that does not repeat the request; configure the URL that it redirects to")
	}
	return nil
}
