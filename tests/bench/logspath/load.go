package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/invar-otel/invar/tests/loopbackport"
)

// load is the input of a collector.
type load interface {
	// input returns the first value of a peer's configuration.
	input() (string, error)
	// feed sends the load. It returns the number of records and bytes as soon as they
	// are known.
	feed(ctx context.Context, input string) (records, bytes int64, err error)
}

// line is a typical log line of an application.
func line(i int) string {
	return fmt.Sprintf(`level=info caller=handler.go:%d msg="request served" method=GET path=/api/v1/orders/%d status=200 duration=%dms bytes=%d user=%08x trace=%016x`,
		100+i%50, i*7919%100_000, i%900, i*31%65536, i*2654435761%(1<<32), uint64(i)*0x9e3779b97f4a7c15)
}

// fileLoad is a set of files that exist from the start.
type fileLoad struct {
	dir            string
	records, bytes int64
}

func newFileLoad(dir string, files int, size int64) (*fileLoad, error) {
	l := &fileLoad{dir: dir}
	at := time.Now().Add(-time.Hour).UTC()
	for n := range files {
		path := filepath.Join(dir, fmt.Sprintf("shop_checkout-%d_8c9c3ab4-4b2d-4c0e-9a55-%012x", n, n), "server", "0.log")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		f, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		w := bufio.NewWriterSize(f, 1<<20)
		for written := int64(0); written < size/int64(files); l.records++ {
			k, err := fmt.Fprintf(w, "%s stdout F %s\n", at.Add(time.Duration(l.records)*time.Microsecond).Format("2006-01-02T15:04:05.000000000Z"), line(int(l.records)))
			if err != nil {
				return nil, err
			}
			written += int64(k)
			l.bytes += int64(k)
		}
		if err := w.Flush(); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *fileLoad) input() (string, error) { return l.dir, nil }

func (l *fileLoad) feed(context.Context, string) (records, bytes int64, err error) {
	return l.records, l.bytes, nil
}

// otlpLoad sends requests of many records on several connections, one request at a time
// on each.
type otlpLoad struct {
	duration time.Duration
	body     []byte
	bytes    int64 // of lines in a request
}

const (
	requestRecords = 1000
	connections    = 4
)

func newOTLPLoad(duration time.Duration) (*otlpLoad, error) {
	l := &otlpLoad{duration: duration}
	ld := plog.NewLogs()
	for r := range 4 {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", fmt.Sprint("checkout-", r))
		rl.Resource().Attributes().PutStr("k8s.pod.name", fmt.Sprint("checkout-", r, "-7f9c"))
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := range requestRecords / 4 {
			lr := records.AppendEmpty()
			lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(time.Duration(i))))
			lr.SetSeverityNumber(plog.SeverityNumberInfo)
			lr.SetSeverityText("INFO")
			lr.SetTraceID([16]byte{byte(i), byte(r), 1})
			lr.SetSpanID([8]byte{byte(i), 1})
			lr.Body().SetStr(line(i))
			l.bytes += int64(len(line(i)))
			lr.Attributes().PutStr("http.request.method", "GET")
			lr.Attributes().PutStr("url.path", fmt.Sprint("/api/v1/orders/", i))
			lr.Attributes().PutInt("http.response.status_code", 200)
		}
	}
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	l.body = body
	return l, err
}

func (*otlpLoad) input() (string, error) { return loopbackport.FreeAddr() }

func (l *otlpLoad) feed(ctx context.Context, addr string) (records, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.duration)
	defer cancel()
	var mu sync.Mutex
	var requests int64
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for ctx.Err() == nil {
				// Not ended by the context: what is counted was answered.
				req, e := http.NewRequest(http.MethodPost, "http://"+addr+"/v1/logs", bytes.NewReader(l.body)) //nolint:noctx // see above
				if e == nil {
					req.Header.Set("Content-Type", "application/x-protobuf")
					var resp *http.Response
					if resp, e = http.DefaultClient.Do(req); e == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						if resp.StatusCode != http.StatusOK {
							e = fmt.Errorf("the collector answered %s", resp.Status)
						}
					}
				}
				mu.Lock()
				if e != nil {
					err = e
				} else {
					requests++
				}
				mu.Unlock()
				if e != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return requests * requestRecords, requests * l.bytes, err
}
