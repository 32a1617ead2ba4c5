package opampserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	servertypes "github.com/open-telemetry/opamp-go/server/types"
)

type connectionKey struct{}

// connection is a WebSocket, or a single HTTP request, which has no conn.
type connection struct {
	address string
	token   string        // the name of the token that it was authorized with
	ended   chan struct{} // closed when a WebSocket ends

	mu     sync.Mutex
	conn   servertypes.Connection
	agents map[uuid.UUID]*agent
	// given are the new uids of agents whose uids were in use, by the uid that they
	// came with.
	given map[uuid.UUID]uuid.UUID
}

// webSocket returns the WebSocket, or nil.
func (c *connection) webSocket() servertypes.Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

func (c *connection) disconnect() {
	if conn := c.webSocket(); conn != nil {
		_ = conn.Disconnect()
	}
}

// send writes to the WebSocket, and closes it if that fails.
func (c *connection) send(ctx context.Context, m *protobufs.ServerToAgent) {
	if conn := c.webSocket(); conn != nil && conn.Send(ctx, m) != nil {
		_ = conn.Disconnect()
	}
}

func (c *connection) all() []*agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*agent, 0, len(c.agents))
	for _, a := range c.agents {
		list = append(list, a)
	}
	return list
}

// add adds an agent to the connection, and reports whether there was room.
func (c *connection) add(a *agent) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.agents) >= maxPerConnection && c.agents[a.uid] == nil {
		return false
	}
	c.agents[a.uid] = a
	return true
}

func (c *connection) remove(a *agent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.agents, a.uid)
}

// hijacker gives the library a boundedConn: the library itself bounds neither the size
// of messages nor the time that writing takes.
type hijacker struct {
	http.ResponseWriter
	ended    func()
	hijacked bool
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.hijacked = true
	if rw.Reader.Buffered() > 0 { // clients must wait for the answer
		_ = conn.Close()
		h.ended()
		return nil, nil, errors.New("the client sends before it is answered")
	}
	b := &boundedConn{Conn: conn, ended: h.ended}
	return b, bufio.NewReadWriter(bufio.NewReader(b), rw.Writer), nil
}

// boundedConn bounds the messages that are read from a WebSocket, and the time of writes.
type boundedConn struct {
	net.Conn
	frames frameCounter
	// ended is called if the connection is closed before the WebSocket is established.
	ended       func()
	once        sync.Once
	established atomic.Bool // the answer was written
}

// Read implements net.Conn.
func (b *boundedConn) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if tooLarge := b.frames.count(p[:n]); tooLarge != nil {
		return 0, tooLarge
	}
	return n, err
}

// Write implements net.Conn.
func (b *boundedConn) Write(p []byte) (int, error) {
	if err := b.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := b.Conn.Write(p)
	if err == nil {
		b.established.Store(true)
	}
	return n, err
}

// Close implements net.Conn.
func (b *boundedConn) Close() error {
	if !b.established.Load() { // the library does not call OnConnectionClose then
		b.once.Do(b.ended)
	}
	return b.Conn.Close()
}

// frameCounter parses the frame headers of RFC 6455, 5.2, and adds up the lengths of
// messages.
type frameCounter struct {
	header  [14]byte
	have    int    // bytes of header that were received
	payload uint64 // bytes of the frame that are still to come
	message uint64 // bytes of the message so far
}

// count counts bytes in the order in which they were received. Its error is errTooLarge.
func (f *frameCounter) count(p []byte) error {
	for len(p) > 0 {
		if f.payload > 0 {
			n := min(uint64(len(p)), f.payload)
			p, f.payload = p[n:], f.payload-n
			continue
		}
		f.header[f.have] = p[0]
		f.have++
		p = p[1:]
		if f.have < 2 || f.have < f.headerSize() {
			continue
		}
		f.have = 0
		f.payload = f.length()
		const final, control = 0x80, 0x08
		if f.header[0]&control != 0 {
			continue // at most 125 bytes, which the library enforces
		}
		if f.payload > MaxMessage+1-f.message { // one byte is OpAMP's header
			return errTooLarge
		}
		f.message += f.payload
		if f.header[0]&final != 0 {
			f.message = 0
		}
	}
	return nil
}

func (f *frameCounter) headerSize() int {
	size := 2
	switch f.header[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if f.header[1]&0x80 != 0 {
		size += 4 // the mask
	}
	return size
}

func (f *frameCounter) length() uint64 {
	switch n := f.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.header[2:])
	default:
		return uint64(n)
	}
}

// noConn stands for the connection of a request. The library requires one, and does not
// use it.
type noConn struct{ net.Conn }
