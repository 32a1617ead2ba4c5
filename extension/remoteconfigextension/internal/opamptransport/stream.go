package opamptransport

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
	"github.com/open-telemetry/opamp-go/protobufs"
	"google.golang.org/protobuf/proto"
)

// errClosed is returned after a proper close by the server.
var errClosed = errors.New("the server closed the connection")

// stream talks over a WebSocket until it fails or stay ends.
func (t *Transport) stream(life, stay context.Context, u *url.URL) error {
	conn, err := t.dialer.dial(stay, u)
	if err != nil {
		return err
	}
	s := &stream{conn: conn, timeout: t.set.Config.Timeout, received: make(chan *protobufs.ServerToAgent)}
	stop := context.AfterFunc(life, func() { _ = conn.Close() })
	defer stop()
	go s.read(t.pulse)
	defer func() {
		_ = conn.Close()
		for range s.received { // until read returns
		}
	}()

	beat := time.NewTimer(0) // the first message is sent at once
	defer beat.Stop()
	pending := true // the next beat has something to send
	for {
		select {
		case <-beat.C:
			if pending || t.heartbeat() > 0 {
				err = s.send(t.agent.message(), s.timeout)
			} else {
				err = s.ping(s.timeout)
			}
			if err != nil {
				return err
			}
			pending = false
			beat.Reset(t.pulse())
		case <-t.agent.changed:
			if !pending {
				pending = true
				beat.Reset(minGap)
			}
		case m, open := <-s.received:
			if !open {
				return s.err
			}
			if err := t.handle(u, m); err != nil {
				return err
			}
		case <-stay.Done():
			s.farewell(life, t.agent.farewell())
			return nil
		}
	}
}

// heartbeat returns the time between two messages, or 0 for no heartbeats.
func (t *Transport) heartbeat() time.Duration {
	if wanted := time.Duration(t.interval.Load()); wanted > 0 {
		return max(wanted, minHeartbeat)
	}
	return t.set.Config.HeartbeatInterval
}

// pulse returns the time between two signs of life, messages or pings.
func (t *Transport) pulse() time.Duration {
	if d := t.heartbeat(); d > 0 {
		return d
	}
	return defaultInterval
}

// stream is a WebSocket. read runs in its own goroutine; the other methods belong to
// another.
type stream struct {
	conn     *websocket.Conn
	timeout  time.Duration
	received chan *protobufs.ServerToAgent // closed by read
	err      error                         // why read has ended; valid once received is closed
}

// read passes messages on until reading fails. Missing pongs reveal a server whose host
// has gone.
func (s *stream) read(pulse func() time.Duration) {
	defer close(s.received)
	alive := func() error { return s.conn.SetReadDeadline(time.Now().Add(2*pulse() + s.timeout)) }
	s.conn.SetReadLimit(maxAnswer)
	s.conn.SetPongHandler(func(string) error { return alive() })
	for {
		if s.err = alive(); s.err != nil {
			return
		}
		var m *protobufs.ServerToAgent
		if m, s.err = s.next(); s.err != nil {
			return
		}
		s.received <- m
	}
}

func (s *stream) next() (*protobufs.ServerToAgent, error) {
	kind, body, err := s.conn.ReadMessage()
	switch {
	case errors.Is(err, websocket.ErrReadLimit):
		return nil, fmt.Errorf("the message has more than %d bytes", maxAnswer)
	case websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway):
		return nil, errClosed
	case err != nil:
		return nil, err
	case kind != websocket.BinaryMessage:
		return nil, errors.New("the message is text; OpAMP's are binary")
	}
	return decode(body)
}

// decode decodes a WebSocket message: a header, which is 0, and the protobuf message. Old
// servers send no header, and no protobuf message begins with 0.
func decode(body []byte) (*protobufs.ServerToAgent, error) {
	if len(body) > 0 && body[0] == 0 {
		body = body[1:]
	}
	var m protobufs.ServerToAgent
	if err := proto.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("the message is not OpAMP's: %w", err)
	}
	return &m, nil
}

// send writes a message and a ping, which must be answered.
func (s *stream) send(m *protobufs.AgentToServer, timeout time.Duration) error {
	body, err := proto.MarshalOptions{}.MarshalAppend([]byte{0}, m)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if err := s.conn.WriteMessage(websocket.BinaryMessage, body); err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	return s.ping(timeout)
}

func (s *stream) ping(timeout time.Duration) error {
	return s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(timeout))
}

// farewell sends the last message and closes the WebSocket. It waits up to a second for
// the server to close it too, which shows that the message was read.
func (s *stream) farewell(life context.Context, m *protobufs.AgentToServer) {
	timeout := min(s.timeout, farewellTime)
	if s.send(m, timeout) != nil {
		return
	}
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if s.conn.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(timeout)) != nil {
		return
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		select {
		case _, open := <-s.received:
			if !open {
				return
			}
		case <-timer.C:
			return
		case <-life.Done():
			return
		}
	}
}
