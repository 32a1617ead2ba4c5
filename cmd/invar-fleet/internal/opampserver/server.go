// Package opampserver serves agents that speak OpAMP, over WebSocket and HTTP
// polling (https://github.com/open-telemetry/opamp-spec).
//
//	ServeHTTP ─▶ opamp-go's server ─▶ answer ─▶ agent ─▶ Fleet.Seen
//	    │ bounds: sizes, connections      ▲ one at a time per agent
//	    └▶ bounded connection             │
//	Run ─▶ Fleet.Watch ─▶ push ───────────┘ offers that changed, to WebSockets
//
// Agents only send what changed, so the server remembers what they sent by instance
// uid. It asks again for what it forgot or missed.
package opampserver

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/server"
	servertypes "github.com/open-telemetry/opamp-go/server/types"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
)

// Path is where agents look for the server by default.
const Path = "/v1/opamp"

const (
	// MaxMessage is the size limit of a message, in bytes, compressed or not.
	MaxMessage = 4 << 20
	// defaultMaxConnections bounds the WebSockets.
	defaultMaxConnections = 20_000
	// maxAgents is how many agents are remembered between their messages.
	maxAgents = 40_000
	// maxPerConnection is how many agents may share a WebSocket.
	maxPerConnection = 1000
	// writeTimeout is how long an agent may take to read a message.
	writeTimeout = 30 * time.Second
	// probeTimeout is how long the holder of an instance uid has to answer when another
	// agent uses the same uid.
	probeTimeout = 3 * time.Second
	// retryAfter is when agents shall try again if there is no room.
	retryAfter = 30 * time.Second
	// pushers is how many connections are served concurrently after a change.
	pushers = 8
)

// Fleet decides what agents run. Its methods may be called concurrently, Seen
// with each message.
type Fleet interface {
	// Seen records what a collector said and returns what it should run.
	Seen(ctx context.Context, s fleet.Sighting) (fleet.Offer, error)
	// Gone records that a collector disconnected on purpose.
	Gone(ctx context.Context, id string) error
	// Watch calls changed, never concurrently, after offers may have changed, and
	// returns when ctx ends.
	Watch(ctx context.Context, changed func())
}

// Settings are what a Server needs.
type Settings struct {
	Fleet  Fleet
	Logger *zap.Logger
	// MaxConnections bounds the WebSockets; 0 is 20,000.
	MaxConnections int
}

// Server serves agents. It does not authenticate them: that is the caller's task. It
// is safe for concurrent use.
type Server struct {
	fleet       Fleet
	logger      *zap.Logger
	limit       int
	probe       time.Duration
	handle      server.HTTPHandlerFunc
	connContext server.ConnContext
	agents      *lru.Cache[uuid.UUID, *agent] // by instance uid

	mu          sync.Mutex
	closed      bool
	connections map[*connection]bool
	serving     sync.WaitGroup // of the connections
}

// New returns a Server. The caller serves it at Path and calls Run.
func New(set Settings) (*Server, error) {
	s := &Server{fleet: set.Fleet, logger: set.Logger, limit: set.MaxConnections, probe: probeTimeout, connections: map[*connection]bool{}}
	if s.limit == 0 {
		s.limit = defaultMaxConnections
	}
	var err error
	if s.agents, err = lru.New[uuid.UUID, *agent](maxAgents); err != nil {
		return nil, err
	}
	s.handle, s.connContext, err = server.New(quiet{s.logger}).Attach(server.Settings{
		Callbacks: servertypes.Callbacks{OnConnecting: s.connecting},
	})
	return s, err
}

// Run pushes offers to the agents with a WebSocket until ctx ends. Then it closes all
// WebSockets and waits for them.
func (s *Server) Run(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for {
			select {
			case <-changed:
				s.push(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	s.fleet.Watch(ctx, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	for c := range s.connections {
		c.disconnect()
	}
	s.mu.Unlock()
	pushing.Wait()
	s.serving.Wait()
}

// push sends changed offers over all WebSockets.
func (s *Server) push(ctx context.Context) {
	s.mu.Lock()
	open := make([]*connection, 0, len(s.connections))
	for c := range s.connections {
		open = append(open, c)
	}
	s.mu.Unlock()
	var group sync.WaitGroup
	next := make(chan *connection)
	for range min(pushers, len(open)) {
		group.Go(func() {
			for c := range next {
				for _, a := range c.all() {
					s.offer(ctx, c, a)
				}
			}
		})
	}
	for _, c := range open {
		if ctx.Err() != nil {
			break
		}
		next <- c
	}
	close(next)
	group.Wait()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &connection{address: r.RemoteAddr, token: fleet.TokenOf(r.Context()), agents: map[uuid.UUID]*agent{}, ended: make(chan struct{})}
	ctx := s.connContext(context.WithValue(r.Context(), connectionKey{}, c), noConn{})
	r = r.WithContext(ctx)
	if websocket.IsWebSocketUpgrade(r) {
		if !s.enter(c) {
			w.Header().Set("Retry-After", fmt.Sprint(int(retryAfter.Seconds())))
			http.Error(w, "there are as many connections as may be", http.StatusServiceUnavailable)
			return
		}
		h := &hijacker{ResponseWriter: w, ended: func() { s.left(c) }}
		s.handle(h, r)
		if !h.hijacked {
			s.left(c)
		}
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "OpAMP is a WebSocket or POST", http.StatusMethodNotAllowed)
		return
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != contentProtobuf {
		http.Error(w, "OpAMP's Content-Type is "+contentProtobuf, http.StatusUnsupportedMediaType)
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, errTooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	// The library would read a body of any size: give it one that was read.
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Del("Content-Encoding")
	r.Header.Set("Content-Type", contentProtobuf)
	s.handle(w, r)
}

const contentProtobuf = "application/x-protobuf"

var errTooLarge = fmt.Errorf("the message has more than %d bytes", MaxMessage)

// readBody reads and decompresses a message. The error is errTooLarge if that is larger
// than MaxMessage.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, MaxMessage)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("read the message: %w", err)
		}
		body = z
	default:
		return nil, fmt.Errorf("the Content-Encoding %q is not known; use gzip or none", encoding)
	}
	message, err := io.ReadAll(io.LimitReader(body, MaxMessage+1))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large) || len(message) > MaxMessage:
		return nil, errTooLarge
	case err != nil:
		return nil, fmt.Errorf("read the message: %w", err)
	}
	return message, nil
}

// enter registers a WebSocket, and reports whether there was room.
func (s *Server) enter(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.connections) >= s.limit {
		return false
	}
	s.connections[c] = true
	s.serving.Add(1)
	return true
}

// left unregisters a WebSocket. It may be called twice.
func (s *Server) left(c *connection) {
	s.mu.Lock()
	entered := s.connections[c]
	delete(s.connections, c)
	s.mu.Unlock()
	if !entered {
		return
	}
	close(c.ended)
	for _, a := range c.all() {
		a.release(c)
	}
	s.serving.Done()
}

// connecting returns the callbacks of a request for the library.
func (s *Server) connecting(r *http.Request) servertypes.ConnectionResponse {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return servertypes.ConnectionResponse{HTTPStatusCode: http.StatusInternalServerError}
	}
	callbacks := servertypes.ConnectionCallbacks{OnMessage: s.receive(c)}
	if websocket.IsWebSocketUpgrade(r) {
		callbacks.OnConnected = func(_ context.Context, conn servertypes.Connection) { s.connected(c, conn) }
		callbacks.OnConnectionClose = func(servertypes.Connection) { s.left(c) }
	}
	return servertypes.ConnectionResponse{Accept: true, ConnectionCallbacks: callbacks}
}

// connected takes over a WebSocket, or closes it if the server is shutting down.
func (s *Server) connected(c *connection, conn servertypes.Connection) {
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		c.disconnect()
	}
}

// quiet logs all messages of the library at debug level: what it calls errors are
// mistakes of agents, and common.
type quiet struct{ logger *zap.Logger }

var _ types.Logger = quiet{}

// Debugf implements types.Logger.
func (q quiet) Debugf(_ context.Context, format string, v ...any) { q.log(format, v) }

// Errorf implements types.Logger.
func (q quiet) Errorf(_ context.Context, format string, v ...any) { q.log(format, v) }

func (q quiet) log(format string, v []any) {
	if q.logger.Core().Enabled(zap.DebugLevel) {
		q.logger.Debug(fmt.Sprintf(format, v...))
	}
}
