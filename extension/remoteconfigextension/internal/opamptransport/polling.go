package opamptransport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"go.opentelemetry.io/collector/component"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/internal/push/httpanswer"
)

const contentProtobuf = "application/x-protobuf"

// httpClient posts messages.
type httpClient struct {
	*http.Client
	gzip bool
}

func newHTTPClient(ctx context.Context, cfg *Config, host component.Host, set component.TelemetrySettings) (*httpClient, error) {
	config := cfg.ClientConfig
	config.Compression = "" // done in exchange; confighttp would compress empty messages too
	client, err := config.ToClient(ctx, host.GetExtensions(), set)
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		return redirectable(via[0].URL, req.URL, len(via))
	}
	return &httpClient{Client: client, gzip: cfg.Compression == "gzip"}, nil
}

// redirectable returns an error for a redirect to another host, or from TLS to plain
// text, because the headers have credentials.
func redirectable(from, to *url.URL, hops int) error {
	switch {
	case hops > 5:
		return errors.New("more than 5 redirects")
	case from.Host != to.Host || (from.Scheme == "https" || from.Scheme == "wss") && to.Scheme != "https" && to.Scheme != "wss":
		return fmt.Errorf("the server redirects to %s, which is not followed; configure it as the endpoint", to.Redacted())
	}
	return nil
}

func (c *httpClient) close() { c.CloseIdleConnections() }

// exchange posts m and reads the answer. If last is true, the connection is closed
// afterwards.
func (c *httpClient) exchange(ctx context.Context, u *url.URL, m *protobufs.AgentToServer, last bool) (*protobufs.ServerToAgent, error) {
	body, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	if c.gzip {
		var compressed bytes.Buffer
		w := gzip.NewWriter(&compressed)
		_, _ = w.Write(body) // a Buffer returns no errors
		_ = w.Close()
		body = compressed.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Close = last
	req.Header.Set("Content-Type", contentProtobuf)
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if uid, err := uuid.FromBytes(m.InstanceUid); err == nil {
		req.Header.Set("OpAMP-Instance-UID", uid.String())
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	var out protobufs.ServerToAgent
	if err := proto.Unmarshal(answer, &out); err != nil {
		return nil, fmt.Errorf("the answer is not an OpAMP message: %w", err)
	}
	return &out, nil
}

// refusal returns the error for an answer with an unexpected status.
func refusal(resp *http.Response) error {
	err := httpanswer.Error(resp)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		return busy(httpanswer.RetryAfter(resp, time.Now()), err)
	}
	return err
}

// poll asks a server over HTTP until a request fails or stay ends.
func (t *Transport) poll(life, stay context.Context, u *url.URL) error {
	known := false // the server has answered
	for {
		answer, err := t.client.exchange(stay, u, t.agent.message(), false)
		if err != nil && stay.Err() == nil {
			t.agent.lost()
			return err
		}
		if err == nil {
			known = true
			if err := t.handle(u, answer); err != nil {
				return err
			}
			t.await(stay)
		}
		if stay.Err() != nil {
			if known {
				t.farewell(life, u)
			}
			return nil
		}
	}
}

// await waits until there is something to send, or until the next poll.
func (t *Transport) await(stay context.Context) {
	interval := t.set.Config.PollInterval
	if wanted := time.Duration(t.interval.Load()); wanted > 0 {
		interval = max(wanted, minPoll)
	}
	// ±10 %, which spreads collectors that started together
	interval += time.Duration((rand.Float64() - 0.5) * 0.2 * float64(interval))
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-t.agent.changed:
		sleep(stay, minGap)
	case <-timer.C:
	case <-stay.Done():
	}
}

// farewell tells the server that the collector disconnects.
func (t *Transport) farewell(life context.Context, u *url.URL) {
	ctx, cancel := context.WithTimeout(life, farewellTime)
	defer cancel()
	_, _ = t.client.exchange(ctx, u, t.agent.farewell(), true) // best effort
}
