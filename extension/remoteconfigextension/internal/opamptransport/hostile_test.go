package opamptransport

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
)

func TestRefusedAnswers(t *testing.T) {
	f := func(name string, before func(w http.ResponseWriter, r *http.Request), want string, only ...string) {
		t.Helper()
		if len(only) == 0 {
			only = schemes
		}
		for _, scheme := range only {
			t.Run(name+" "+scheme, func(t *testing.T) {
				var asked outcomes
				s := newServer(t)
				s.before = func(w http.ResponseWriter, r *http.Request) bool {
					before(w, r)
					return true
				}
				tr := newTransport(t, s.endpoint(scheme), func(s *Settings) { s.Asked = asked.add })
				offers := start(t, tr, nil)
				asked.await(t, want)
				require.Empty(t, offers)
			})
		}
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "its words", code) }
	}
	f("401", status(401), "401 Unauthorized: its words")
	f("500", status(500), "500 Internal Server Error: its words")
	f("503", status(503), "503 Service Unavailable: its words")
	f("no WebSocket", status(200), "it has no WebSocket there", "ws")
	f("elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.example.org/v1/opamp", http.StatusTemporaryRedirect)
	}, "elsewhere.example.org/v1/opamp, which is not followed")
	f("round and round", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/v1/opamp", http.StatusTemporaryRedirect)
	}, "more than 5 redirects")

	write := func(body []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if !websocket.IsWebSocketUpgrade(r) {
				_, _ = w.Write(body)
				return
			}
			conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.WriteMessage(websocket.BinaryMessage, body)
			_, _, _ = conn.ReadMessage() // the collector's, then the end
			_, _, _ = conn.ReadMessage()
		}
	}
	huge, err := proto.Marshal(&protobufs.ServerToAgent{RemoteConfig: remoteConfig("h", "a", strings.Repeat("#", 50<<20))})
	require.NoError(t, err)
	f("50 MB", write(huge), "more than 9437184 bytes")
	f("garbage", write([]byte("<html>not found</html>")), "not ")
	f("a bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(huge)
		_ = z.Close()
	}, "more than 9437184 bytes", "http")
	f("cut off", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(huge[:500])
	}, "read the answer: unexpected EOF", "http")
	f("text", func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.WriteMessage(websocket.TextMessage, []byte("hello"))
		_, _, _ = conn.ReadMessage()
		_, _, _ = conn.ReadMessage()
	}, "the message is text", "ws")
}

// A server that accepts and then sends garbage is asked again with growing pauses.
func TestGarbageMakesNoStorm(t *testing.T) {
	connections := make(chan time.Time, 1000)
	s := newServer(t)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err == nil {
			connections <- time.Now()
			_ = conn.WriteMessage(websocket.BinaryMessage, []byte{0, 0xff})
			_ = conn.Close()
		}
		return true
	}
	start(t, newTransport(t, s.endpoint("ws"), nil), nil)
	first, second := <-connections, <-connections
	require.GreaterOrEqual(t, second.Sub(first), retryFirst/2)
}

func TestRedirectOnTheSameHost(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/elsewhere" {
					http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
					return true
				}
				return false
			}
			start(t, newTransport(t, s.endpoint(scheme), nil), nil)
			require.NotNil(t, s.await(func(*protobufs.AgentToServer) bool { return true }).AgentDescription)
		})
	}
}

// bearer is an authenticator with a token that the test can change.
type bearer struct {
	component.StartFunc
	component.ShutdownFunc
	token chan string
}

func (b *bearer) RoundTripper(base http.RoundTripper) (http.RoundTripper, error) {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		token := <-b.token
		b.token <- token
		req.Header.Set("Authorization", "Bearer "+token)
		return base.RoundTrip(req)
	}), nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestAuthAndHeaders(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") != "Bearer right" {
					http.Error(w, "who are you?", http.StatusUnauthorized)
					return true
				}
				return false
			}
			var asked outcomes
			auth := &bearer{token: make(chan string, 1)}
			auth.token <- "wrong"
			tr := newTransport(t, s.endpoint(scheme)+"\nauth: {authenticator: bearer}\nheaders: {x-tenant: a}",
				func(s *Settings) { s.Asked = asked.add })
			start(t, tr, map[component.ID]component.Component{component.MustNewID("bearer"): auth})
			asked.await(t, "401 Unauthorized: who are you?")
			<-auth.token
			auth.token <- "right"
			s.await(func(*protobufs.AgentToServer) bool { return true })
			asked.await(t, "")
			s.mu.Lock()
			defer s.mu.Unlock()
			require.Equal(t, "a", s.header.Get("X-Tenant"))
			require.NotContains(t, asked.String(), "wrong")
		})
	}
}

func TestTLS(t *testing.T) {
	for _, scheme := range []string{"wss", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := startServer(t, nil, true)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
			start(t, newTransport(t, s.endpoint(scheme)+"\ntls: {ca_file: "+ca+"}", nil), nil)
			s.await(func(*protobufs.AgentToServer) bool { return true })

			var asked outcomes
			start(t, newTransport(t, s.endpoint(scheme), func(s *Settings) { s.Asked = asked.add }), nil)
			asked.await(t, "certificate signed by unknown authority")
		})
	}
}

func TestCompression(t *testing.T) {
	s := newServer(t)
	start(t, newTransport(t, s.endpoint("http")+"\ncompression: gzip", nil), nil)
	require.NotNil(t, s.await(func(*protobufs.AgentToServer) bool { return true }).AgentDescription)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, "gzip", s.header.Get("Content-Encoding"))
}

// connectProxy is a proxy for CONNECT and for plain requests.
func connectProxy(t *testing.T) (string, <-chan string) {
	used := make(chan string, 1000)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		used <- r.Method
		if r.Method != http.MethodConnect {
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
			return
		}
		there, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 Connected\r\n\r\n")
		done := make(chan bool, 2)
		go func() { _, _ = io.Copy(there, here); done <- true }()
		go func() { _, _ = io.Copy(here, there); done <- true }()
		<-done
		_, _ = there.Close(), here.Close()
		<-done
	}))
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		proxy.Close()
	})
	return proxy.URL, used
}

func TestProxy(t *testing.T) {
	f := func(scheme, method string) {
		t.Helper()
		s := newServer(t)
		proxy, used := connectProxy(t)
		start(t, newTransport(t, s.endpoint(scheme)+"\nproxy_url: "+proxy, nil), nil)
		s.await(func(*protobufs.AgentToServer) bool { return true })
		require.Equal(t, method, <-used)
	}
	f("ws", http.MethodConnect)
	f("http", http.MethodPost)
}

// fake answers requests without a network, in a synctest bubble.
type fake struct {
	hosts  []string
	times  []time.Duration
	began  time.Time
	answer func(host string) (*protobufs.ServerToAgent, int)
}

func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	f.hosts, f.times = append(f.hosts, req.URL.Host), append(f.times, time.Since(f.began))
	m, status := f.answer(req.URL.Host)
	body, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Retry-After": {"300"}}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
}

// run runs a Transport against the fake for a while.
func (f *fake) run(t *testing.T, config string, during time.Duration) {
	tr := newTransport(t, config, nil)
	tr.set.Config.PollInterval = 30 * time.Second
	f.began = time.Now()
	tr.client = &httpClient{Client: &http.Client{Transport: f}}
	tr.mu.Lock()
	tr.begin(func(transport.Offer) {})
	tr.mu.Unlock()
	time.Sleep(during)
	require.NoError(t, tr.Shutdown(t.Context()))
}

func TestPollingTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(string) (*protobufs.ServerToAgent, int) { return &protobufs.ServerToAgent{}, 200 }}
		f.run(t, "endpoint: http://a", 10*time.Minute)
		require.InDelta(t, 21, len(f.times), 2)
		for i := range f.times[:len(f.times)-2] {
			require.InDelta(t, 30*time.Second, f.times[i+1]-f.times[i], float64(3*time.Second))
		}
	})
}

func TestPauses(t *testing.T) {
	run := func(during time.Duration, answer func() (*protobufs.ServerToAgent, int)) *fake {
		f := &fake{answer: func(string) (*protobufs.ServerToAgent, int) { return answer() }}
		synctest.Test(t, func(t *testing.T) { f.run(t, "endpoint: http://a", during) })
		return f
	}
	f := run(time.Hour, func() (*protobufs.ServerToAgent, int) { return nil, 500 })
	require.Less(t, len(f.times), 50, "longer and longer, up to 2 minutes")
	require.Greater(t, len(f.times), 25)
	f = run(time.Hour, func() (*protobufs.ServerToAgent, int) { return nil, 429 })
	require.InDelta(t, 13, len(f.times), 1, "Retry-After is 5 minutes")
	f = run(10*time.Hour+time.Minute, func() (*protobufs.ServerToAgent, int) {
		return &protobufs.ServerToAgent{ErrorResponse: &protobufs.ServerErrorResponse{
			Type:    protobufs.ServerErrorResponseType_ServerErrorResponseType_Unavailable,
			Details: &protobufs.ServerErrorResponse_RetryInfo{RetryInfo: &protobufs.RetryInfo{RetryAfterNanoseconds: 1 << 63}},
		}}, 200
	})
	require.InDelta(t, 11, len(f.times), 1, "292 years are an hour")
	f = run(5*time.Minute, func() (*protobufs.ServerToAgent, int) {
		return &protobufs.ServerToAgent{ErrorResponse: &protobufs.ServerErrorResponse{
			Type: protobufs.ServerErrorResponseType_ServerErrorResponseType_BadRequest, ErrorMessage: "what?",
		}}, 200
	})
	require.InDelta(t, 11, len(f.times), 2, "it goes on as usual")
}

func TestFirstServerIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(15 * time.Minute)
		f := &fake{answer: func(host string) (*protobufs.ServerToAgent, int) {
			if host == "a" && time.Now().Before(back) {
				return nil, 503
			}
			return &protobufs.ServerToAgent{}, 200
		}}
		f.run(t, "endpoints: [http://a, http://b]", 30*time.Minute)
		for i, host := range f.hosts {
			switch at := f.times[i]; {
			case at > 21*time.Minute:
				require.Equal(t, "a", host)
			case host == "a" && at > time.Second && at < 20*time.Minute:
				require.InDelta(t, 10*time.Minute, at, float64(time.Second))
			}
		}
		require.Equal(t, []string{"a", "b"}, f.hosts[:2])
		require.Less(t, f.times[1], time.Second)
	})
}

// A server whose host vanishes closes nothing: missing pongs reveal it.
func TestServerThatVanishes(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				_ = conn.Close()
				continue
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
				acceptKey(req.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn) // and says nothing any more
			_ = conn.Close()
		}
	}()
	var asked outcomes
	tr := newTransport(t, "endpoint: ws://"+listener.Addr().String()+"\ntimeout: 100ms", func(s *Settings) { s.Asked = asked.add })
	require.NoError(t, tr.Start(t.Context(), componenttest.NewNopHost(), func(transport.Offer) {}))
	asked.await(t, "i/o timeout")
	require.NoError(t, tr.Shutdown(context.Background()))
	require.NoError(t, listener.Close())
	<-ended
}

// acceptKey returns the answer to a client's key (RFC 6455).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
