// Package httpanswer reads what an endpoint that data is pushed to answers.
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

// KeepPost makes the client follow no redirect that would turn a POST into a
// GET.
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

// Drain reads what is left of a short answer, so that the connection is used
// again when its body is closed.
func Drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
}

// Error describes an answer that is not 2xx by its status and the first line of
// the endpoint's words. It reads at most 512 bytes of the body.
func Error(resp *http.Response) error { return ErrorWith(resp, Words(resp, 512)) }

// Words are what the endpoint says in the body, at most limit bytes of it.
func Words(resp *http.Response, limit int64) string {
	words, _ := io.ReadAll(io.LimitReader(resp.Body, limit))
	return strings.TrimSpace(string(words))
}

// ErrorWith is [Error] for words that have been read.
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

// maxRetryAfter bounds what an endpoint can ask for.
const maxRetryAfter = 24 * time.Hour

// RetryAfter reads the header of RFC 9110, 10.2.3: seconds or a date. It is 0
// if there is none, it cannot be read, or the time has passed, and a day at most.
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
