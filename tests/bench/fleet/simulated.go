package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
)

// simulated is a collector that polls its configuration from
// collector.v1.CollectorService over Connect and reports that it has applied it. Its
// fields may be read after run has returned.
type simulated struct {
	client *http.Client
	url    string
	id     string
	shard  string

	hash      string
	applied   int // configurations, the first before the measurement
	latencies []time.Duration
	bytes     int64
	failed    int64
	clear     chan struct{}
}

func newSimulated(client *http.Client, url string, n int) *simulated {
	return &simulated{client: client, url: url, id: fmt.Sprintf("collector-%d", n), shard: fmt.Sprint(n % shards), clear: make(chan struct{}, 1)}
}

// reset discards the figures so far, before the next request.
func (c *simulated) reset() { c.clear <- struct{}{} }

// run polls until ctx ends, for the first time after a delay.
func (c *simulated) run(ctx context.Context, delay time.Duration) {
	if peerprocess.Wait(ctx, delay) != nil {
		return
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	_, _ = c.call(ctx, "RegisterCollector", c.appendAttributes(appendString(nil, 1, c.id)))
	for {
		select {
		case <-c.clear:
			c.latencies, c.bytes, c.failed = nil, 0, 0
		default:
		}
		begin := time.Now()
		if err := c.ask(ctx); err == nil {
			c.latencies = append(c.latencies, time.Since(begin))
		} else if ctx.Err() == nil {
			c.failed++
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (c *simulated) ask(ctx context.Context) error {
	request := c.appendAttributes(appendString(appendString(nil, 1, c.id), 3, c.hash))
	if c.hash != "" {
		request = appendString(request, 5, "\x08\x01") // APPLIED
	}
	answer, err := c.call(ctx, "GetConfig", request)
	if err != nil {
		return err
	}
	hash, unchanged := "", false
	for len(answer) > 0 {
		number, kind, n := protowire.ConsumeTag(answer)
		if n < 0 {
			return errors.New("the answer is not a message")
		}
		size := protowire.ConsumeFieldValue(number, kind, answer[n:])
		if size < 0 {
			return errors.New("the answer is cut")
		}
		value, _ := protowire.ConsumeBytes(answer[n:])
		switch number {
		case 2:
			hash = string(value)
		case 3:
			unchanged = true
		}
		answer = answer[n+size:]
	}
	if !unchanged && hash != c.hash {
		c.hash = hash
		c.applied++
	}
	return nil
}

func (c *simulated) appendAttributes(b []byte) []byte {
	for _, pair := range [][2]string{{"shard", c.shard}, {"env", "prod"}, {"collector.os", "linux"}, {"collector.version", "0.1.0"}} {
		b = appendString(b, 4, string(appendString(appendString(nil, 1, pair[0]), 2, pair[1])))
	}
	return b
}

func (c *simulated) call(ctx context.Context, method string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/collector.v1.CollectorService/"+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/proto")
	request.Header.Set("Connect-Protocol-Version", "1")
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", method, response.Status, answer)
	}
	c.bytes += int64(len(body) + len(answer))
	return answer, nil
}

func appendString(b []byte, number protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
}
