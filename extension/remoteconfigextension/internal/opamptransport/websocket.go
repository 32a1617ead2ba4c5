package opamptransport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"
)

// dialer opens WebSockets.
type dialer struct {
	websocket.Dialer
	header  http.Header
	auth    extensionauth.HTTPClient // nil if there is none
	timeout time.Duration
}

func newDialer(ctx context.Context, cfg *Config, host component.Host) (*dialer, error) {
	tls, err := cfg.TLS.LoadTLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	d := &dialer{header: http.Header{}, timeout: cfg.Timeout, Dialer: websocket.Dialer{
		TLSClientConfig: tls, HandshakeTimeout: cfg.Timeout, Proxy: http.ProxyFromEnvironment,
		ReadBufferSize: cfg.ReadBufferSize, WriteBufferSize: cfg.WriteBufferSize,
	}}
	if cfg.ProxyURL != "" {
		proxy, err := url.Parse(cfg.ProxyURL)
		if err != nil {
			return nil, err
		}
		d.Proxy = http.ProxyURL(proxy)
	}
	for key, value := range cfg.Headers.Iter {
		d.header.Set(key, string(value))
	}
	if cfg.Auth.HasValue() {
		if d.auth, err = cfg.Auth.Get().GetHTTPClientAuthenticator(ctx, host.GetExtensions()); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// dial opens a WebSocket. It follows redirects on the same host.
func (d *dialer) dial(ctx context.Context, u *url.URL) (*websocket.Conn, error) {
	to := u
	for hop := 1; ; hop++ {
		conn, redirect, err := d.upgrade(ctx, to)
		if err != nil || conn != nil {
			return conn, err
		}
		if err := redirectable(u, redirect, hop); err != nil {
			return nil, err
		}
		to = redirect
	}
}

// upgrade requests a WebSocket. It returns one, or the URL of a redirect.
func (d *dialer) upgrade(ctx context.Context, u *url.URL) (*websocket.Conn, *url.URL, error) {
	// Authenticators work with HTTP requests.
	asHTTP := *u
	asHTTP.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, asHTTP.String(), http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	req.Header = d.header.Clone()
	h := &handshake{dialer: &d.Dialer}
	var requests http.RoundTripper = h
	if d.auth != nil {
		if requests, err = d.auth.RoundTripper(h); err != nil {
			return nil, nil, err
		}
	}
	resp, err := requests.RoundTrip(req)
	if err != nil {
		h.close()
		return nil, nil, err
	}
	defer resp.Body.Close()
	switch {
	case h.conn != nil:
		return h.conn, nil, nil
	case resp.StatusCode/100 == 3:
		to, err := asHTTP.Parse(resp.Header.Get("Location"))
		if err != nil || resp.Header.Get("Location") == "" {
			return nil, nil, fmt.Errorf("the server answered %s without a location", resp.Status)
		}
		to.Scheme = strings.Replace(to.Scheme, "http", "ws", 1)
		return nil, to, nil
	case resp.StatusCode/100 == 2:
		return nil, nil, fmt.Errorf("the server answered %s; it has no WebSocket there", resp.Status)
	default:
		return nil, nil, refusal(resp)
	}
}

// handshake is the RoundTripper below an authenticator. It opens a WebSocket.
type handshake struct {
	dialer *websocket.Dialer
	conn   *websocket.Conn
}

// RoundTrip implements http.RoundTripper.
func (h *handshake) RoundTrip(req *http.Request) (*http.Response, error) {
	h.close() // of an earlier attempt
	u := *req.URL
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	// Once connected, the library ignores the context and waits for the answer until
	// the timeout.
	ctx, dialer := req.Context(), *h.dialer
	stop := func() bool { return true }
	dialer.NetDialContext = func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialing, network, address)
		if err == nil {
			stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	conn, resp, err := dialer.DialContext(ctx, u.String(), req.Header)
	if !stop() && err == nil {
		_ = conn.Close()
		return nil, ctx.Err()
	}
	if resp == nil {
		return nil, err
	}
	h.conn, resp.Request = conn, req
	return resp, nil // which may be a refusal
}

func (h *handshake) close() {
	if h.conn != nil {
		_ = h.conn.Close()
		h.conn = nil
	}
}
