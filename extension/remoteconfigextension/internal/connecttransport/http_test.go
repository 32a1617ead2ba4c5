package connecttransport

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/remoteconf"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

// run starts a collector with real connections, and returns the outcome of the first
// exchange.
func run(t *testing.T, endpoint, options string) (*collector, error) {
	t.Helper()
	cfg := NewDefaultConfig()
	require.NoError(t, configtest.Parse(t, "endpoint: "+endpoint+"\n"+options, &cfg))
	c := newCollector(cfg)
	first := make(chan error, 1)
	c.set.Asked = func(err error) {
		select {
		case first <- err:
		default:
		}
	}
	require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost(), c.took))
	t.Cleanup(func() { require.NoError(t, c.Shutdown(context.Background())) })
	select {
	case err := <-first:
		return c, err
	case <-time.After(time.Minute):
		require.FailNow(t, "no exchange")
		return nil, nil
	}
}

func TestRealServer(t *testing.T) {
	f := &fleet{content: strings.Repeat("#", 1<<20) + "\n" + plain, hash: "1"}
	var header http.Header
	handler := collectorv1.NewHandler(f)
	server := httptest.NewServer(http.StripPrefix("/prefix", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "GetConfig") {
			header = r.Header.Clone()
		}
		handler.ServeHTTP(w, r)
	})))
	defer server.Close()
	c, err := run(t, server.URL+"/prefix/", "headers: {X-Token: secret}\ncompression: gzip")
	require.NoError(t, err)
	require.NoError(t, c.Shutdown(t.Context()))
	offers, _ := c.seen()
	require.Len(t, offers, 1)
	require.NoError(t, offers[0].Err)
	require.Len(t, offers[0].Set["remote"], len(f.content))
	require.Equal(t, "secret", header.Get("X-Token"))
	require.Equal(t, "gzip", header.Get("Content-Encoding"))
	require.Equal(t, "gzip", header.Get("Accept-Encoding"))
}

func TestStartRefuses(t *testing.T) {
	cfg := config("http://localhost")
	require.NoError(t, configtest.Parse(t, "auth: {authenticator: bearertokenauth}", &cfg))
	c := newCollector(cfg)
	require.ErrorContains(t, c.Start(t.Context(), componenttest.NewNopHost(), c.took), "connect: ")
	require.NoError(t, c.Shutdown(t.Context()))
}

// message returns an encoded answer of GetConfig.
func message(t testing.TB, content string) []byte {
	t.Helper()
	b, err := proto.Marshal(&collectorv1.GetConfigResponse{Content: content, Hash: "1"})
	require.NoError(t, err)
	return b
}

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// answering returns a server that registers collectors and answers GetConfig with
// answer.
func answering(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	handler := collectorv1.NewHandler(&fleet{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "GetConfig") {
			_, _ = io.Copy(io.Discard, r.Body)
			answer(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestBadAnswers(t *testing.T) {
	f := func(want string, answer http.HandlerFunc) {
		t.Helper()
		c, err := run(t, answering(t, answer), "timeout: 20s\nheaders: {Authorization: Bearer hunter2}")
		require.NoError(t, c.Shutdown(t.Context()))
		require.ErrorContains(t, err, want)
		for _, entry := range c.logs.All() {
			require.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "hunter2")
		}
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "\n")
		require.Less(t, len(err.Error()), 2*maxWords)
		offers, _ := c.seen()
		require.Empty(t, offers)
	}
	status := func(code int, header, value, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(header, value)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	ok := func(body []byte, encoding string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			_, _ = w.Write(body)
		}
	}
	f("get the configuration: unauthenticated", status(401, "Content-Type", "text/plain", "no\nno"))
	f("permission_denied: wrong team", status(403, "Content-Type", "application/json", `{"code":"permission_denied","message":"wrong team"}`))
	f("unknown: 500 Internal Server Error", status(500, "Content-Type", "text/html", strings.Repeat("<p>", 1000)))
	f("unavailable", status(503, "Content-Type", "text/html", ""))
	f(`invalid content-type: "text/html"`, status(200, "Content-Type", "text/html", "<html>"))
	f("unmarshal message", ok([]byte("\x0a\x05abc"), ""))
	f("unmarshal message", ok(message(t, plain)[:5], ""))
	f("unmarshal message", ok([]byte("\x0a\x02\xff\xfe"), ""))
	f("unexpected EOF", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		ok(message(t, plain), "")(w, r)
	})
	f("gzip: invalid header", ok([]byte("this is not gzip"), "gzip"))
	f("unexpected EOF", ok(zip(t, message(t, plain))[:20], "gzip"))
	f(`unknown encoding "br"`, ok(nil, "br"))
	f("the answer is larger than 8454144 bytes", ok(message(t, strings.Repeat("#", 50<<20)), ""))
	f("the answer is larger than 8454144 bytes", ok(zip(t, message(t, strings.Repeat("#", 40<<20))), "gzip"))
	f("the server's hash has 1025 bytes; the limit is 1024", func(w http.ResponseWriter, r *http.Request) {
		b, err := proto.Marshal(&collectorv1.GetConfigResponse{Hash: strings.Repeat("h", maxHash+1)})
		if err != nil {
			panic(err) //nolint:forbidigo // in the server of a test
		}
		ok(b, "")(w, r)
	})
	// The limit for errors applies after decompression.
	f("internal", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(zip(t, bytes.Repeat([]byte(" "), 8<<20)))
	})
	f("which is not followed", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://198.51.100.1/", http.StatusTemporaryRedirect)
	})
	f("does not repeat the request", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	f("more than 3 redirects", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	})
}

// An empty answer of the protocol is a message without a configuration. An empty answer
// of something else, such as a proxy, is an error.
func TestEmptyAnswer(t *testing.T) {
	f := func(contentType string) (offers []transport.Offer, err error) {
		t.Helper()
		c, err := run(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(http.StatusOK)
		}), "")
		require.NoError(t, c.Shutdown(t.Context()))
		offers, _ = c.seen()
		return offers, err
	}
	offers, err := f("application/proto")
	require.NoError(t, err)
	require.Equal(t, []transport.Offer{{Set: remoteconf.Set{}}}, offers)
	for _, other := range []string{"", "text/html", "application/octet-stream", "application/json"} {
		offers, err = f(other)
		require.ErrorContains(t, err, "invalid content-type")
		require.Empty(t, offers)
	}
}

func TestAnswerAtTheLimit(t *testing.T) {
	content := strings.Repeat("#", remoteconf.MaxSize-len(plain)-1) + "\n" + plain
	c, err := run(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/proto")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zip(t, message(t, content)))
	}), "")
	require.NoError(t, err)
	require.NoError(t, c.Shutdown(t.Context()))
	offers, _ := c.seen()
	require.NoError(t, offers[0].Err)
	require.Equal(t, content, string(offers[0].Set["remote"]))
}

func TestContentBeyondTheLimit(t *testing.T) {
	c, err := run(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/proto")
		_, _ = w.Write(message(t, strings.Repeat("#", remoteconf.MaxSize+1)))
	}), "")
	require.NoError(t, err)
	require.NoError(t, c.Shutdown(t.Context()))
	offers, _ := c.seen()
	require.ErrorContains(t, offers[0].Err, "the limit is 8388608", "so that the server learns it")
	require.Equal(t, "1", offers[0].Hash)
}

func TestRedirectOnTheSameHost(t *testing.T) {
	f := &fleet{content: plain, hash: "1"}
	handler := collectorv1.NewHandler(f)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, moved := strings.CutPrefix(r.URL.Path, "/new"); moved {
			r.URL.Path = path
			handler.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, "/new"+r.URL.Path, http.StatusPermanentRedirect)
	}))
	defer server.Close()
	_, err := run(t, server.URL, "")
	require.NoError(t, err)
}

func TestSlowServer(t *testing.T) {
	_, err := run(t, answering(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}), "timeout: 50ms")
	require.ErrorContains(t, err, "deadline_exceeded")
}

func TestShutdownDuringARequest(t *testing.T) {
	asked := make(chan struct{}, 100)
	url := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	cfg := config(url)
	c := newCollector(cfg)
	require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost(), c.took))
	<-asked
	require.NoError(t, c.Shutdown(t.Context()))
	_, errs := c.seen()
	require.Empty(t, errs, "that it is stopped is no failure of the server")
}

func TestServerAwayAtStart(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	c, err := run(t, "http://"+addr, "")
	require.ErrorContains(t, err, "refused")
	require.Equal(t, 1, c.logs.Len())

	l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	require.NoError(t, err)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: collectorv1.NewHandler(&fleet{content: plain, hash: "1"}), ReadHeaderTimeout: time.Minute}}
	server.Start()
	defer server.Close()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.offers) == 1
	}, time.Minute, 10*time.Millisecond)
}

// FuzzAnswer gives a collector arbitrary answers. It must not crash, and must offer only
// what can be read.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/proto", "", message(f, plain))
	f.Add(200, "application/proto", "gzip", zip(f, message(f, "pipelines: {a: {}}")))
	f.Add(200, "application/proto", "", message(f, plain)[:7])
	f.Add(404, "application/json", "", []byte(`{"code":"not_found","message":"x"}`))
	f.Add(200, "application/json", "", []byte(`{"content":"a: 1"}`))
	f.Add(304, "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, status int, contentType, encoding string, body []byte) {
		if status < 200 || status > 599 {
			status = 200
		}
		register := collectorv1.NewHandler(&fleet{})
		c := newCollector(config("http://a"))
		c.start(&http.Client{Transport: new(inMemory).serve("a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "GetConfig") {
				register.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Content-Encoding", encoding)
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}))}, func(transport.Offer) {})
		require.NoError(t, c.Shutdown(t.Context())) // poll is not needed here
		c.offered = c.took
		answered := c.ask(t.Context(), c.servers[0])
		offers, _ := c.seen()
		if !answered {
			require.Empty(t, offers)
			return
		}
		for _, o := range offers {
			require.Equal(t, o.Err != nil, o.Set == nil)
			if o.Err == nil {
				again, err := remoteconf.Parse(o.Set[remoteconf.DefaultName])
				require.NoError(t, err)
				require.NotNil(t, again)
			}
		}
	})
}
