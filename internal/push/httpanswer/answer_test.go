package httpanswer

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func answer(status int, header map[string]string, body string) *http.Response {
	r := &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)),
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	return r
}

func TestError(t *testing.T) {
	f := func(status int, header map[string]string, body, want string) {
		t.Helper()
		r := answer(status, header, body)
		defer r.Body.Close()
		require.Equal(t, want, Error(r).Error())
	}
	f(400, nil, "\nfirst\nsecond", "the endpoint answered Bad Request: first")
	f(500, nil, "", "the endpoint answered Internal Server Error")
	f(302, map[string]string{"Location": "/there"}, "",
		"the endpoint answered Found to /there, which would not repeat the request there; configure the new address")
	f(400, nil, strings.Repeat("x", 10_000), "the endpoint answered Bad Request: "+strings.Repeat("x", 512))
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := func(v string, want time.Duration) {
		t.Helper()
		r := answer(429, map[string]string{"Retry-After": v}, "")
		defer r.Body.Close()
		require.Equal(t, want, RetryAfter(r, now))
	}
	f("", 0)
	f("7", 7*time.Second)
	f("-5", 0)
	f("soon", 0)
	f("86401", 24*time.Hour)
	f("9223372036854775807", 24*time.Hour)
	f(now.AddDate(50, 0, 0).Format(http.TimeFormat), 24*time.Hour)
	f(now.Add(90*time.Second).Format(http.TimeFormat), 90*time.Second)
	f(now.Add(-time.Hour).Format(http.TimeFormat), 0)
}
