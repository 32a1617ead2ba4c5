// Package httpanswer reads the answers of endpoints that data is pushed to.
package httpanswer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// KeepPost makes the client return redirects that would turn a POST into a GET
// instead of following them.
func KeepPost(c *http.Client) {
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("10 redirects")
		}
		if req.Method != http.MethodPost {
			return http.ErrUseLastResponse
		}
		return nil
	}
}

// Drain reads the rest of a short answer. Otherwise the connection is not reused
// when the body is closed.
func Drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
}

// Error returns an error for an answer that is not 2xx, with its status and the
// first line of its body. It reads at most 512 bytes of the body.
func Error(resp *http.Response) error { return ErrorWith(resp, Words(resp, 512)) }

// Words returns the text of the body, at most limit bytes of it.
func Words(resp *http.Response, limit int64) string {
	words, _ := io.ReadAll(io.LimitReader(resp.Body, limit))
	return strings.TrimSpace(string(words))
}

// ErrorWith is [Error] for a body that [Words] has read.
func ErrorWith(resp *http.Response, words string) error {
	line, _, _ := strings.Cut(words, "\n")
	if len(line) > 512 {
		line = line[:512]
	}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		return fmt.Errorf("the endpoint answered %s to %s, which would not repeat the request there; configure the new address", resp.Status, to)
	}
	if line == "" {
		return fmt.Errorf("the endpoint answered %s", resp.Status)
	}
	return fmt.Errorf("the endpoint answered %s: %s", resp.Status, line)
}

// maxRetryAfter is the longest pause that an endpoint can ask for.
const maxRetryAfter = 24 * time.Hour

// RetryAfter returns the pause of the header Retry-After, seconds or a date as in
// RFC 9110, 10.2.3, but at most a day. It returns 0 if the header is missing or
// invalid, or if the date has passed.
func RetryAfter(resp *http.Response, now time.Time) time.Duration {
	v := resp.Header.Get("Retry-After")
	if v == "" {
		return 0
	}
	if s, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(0, s), int(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(0, t.Sub(now)), maxRetryAfter)
	}
	return 0
}
