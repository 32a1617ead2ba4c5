package opampserver

import (
	"encoding/binary"
	"testing"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// frame returns a client's frame, with its mask.
func frame(first byte, payload int) []byte {
	var header []byte
	switch {
	case payload < 126:
		header = []byte{first, 0x80 | byte(payload)}
	case payload < 1<<16:
		header = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(payload))
	default:
		header = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(payload))
	}
	header = append(header, 1, 2, 3, 4)
	return append(header, make([]byte, payload)...)
}

func TestFrameCounter(t *testing.T) {
	const final, more, next, ping = 0x82, 0x02, 0x00, 0x89
	f := func(large bool, frames ...[]byte) {
		t.Helper()
		for _, chunk := range []int{1 << 30, 1 << 16, 4093} {
			var counter frameCounter
			var err error
			for _, fr := range frames {
				for len(fr) > 0 && err == nil {
					n := min(chunk, len(fr))
					err = counter.count(fr[:n])
					fr = fr[n:]
				}
			}
			require.Equal(t, large, err != nil, "%v", err)
		}
	}
	f(false, frame(final, 0), frame(final, 1), frame(final, 125), frame(final, 126), frame(final, 1<<16))
	f(false, frame(final, MaxMessage+1), frame(final, MaxMessage+1))
	f(true, frame(final, MaxMessage+2))
	f(false, frame(more, MaxMessage/2), frame(ping, 125), frame(next, MaxMessage/2-1), frame(0x80, 1), frame(final, 100))
	f(true, frame(more, MaxMessage/2), frame(ping, 125), frame(next, MaxMessage/2), frame(0x80, 2))
	f(true, []byte{final, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
}

// FuzzFrameCounter compares counting in pieces with counting at once.
func FuzzFrameCounter(f *testing.F) {
	f.Add(append(frame(0x82, 10), frame(0x02, 300)...), 3)
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0x40, 0, 1, 1, 2, 3, 4, 5}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, chunk int) {
		if chunk < 1 {
			return
		}
		var whole, pieces frameCounter
		wantErr := whole.count(stream)
		var err error
		for len(stream) > 0 && err == nil {
			n := min(chunk, len(stream))
			err = pieces.count(stream[:n])
			stream = stream[n:]
		}
		require.Equal(t, wantErr, err)
		if err == nil {
			whole.header, pieces.header = [14]byte{}, [14]byte{}
			require.Equal(t, whole, pieces)
		}
	})
}

func newServer(t testing.TB, f Fleet) *Server {
	s, err := New(Settings{Fleet: f, Logger: zap.NewNop()})
	require.NoError(t, err)
	return s
}

// FuzzMessage passes any bytes of a message to everything that reads messages.
func FuzzMessage(f *testing.F) {
	uid := uuid.Must(uuid.NewV7())
	m := full(uid, 0)
	m.AgentDescription.NonIdentifyingAttributes = []*protobufs.KeyValue{
		{Key: "collector.id", Value: &protobufs.AnyValue{Value: &protobufs.AnyValue_StringValue{StringValue: "edge-1"}}}, {Key: "x"},
	}
	m.EffectiveConfig = &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{ConfigMap: map[string]*protobufs.AgentConfigFile{"": nil}}}
	m.Health = &protobufs.ComponentHealth{ComponentHealthMap: map[string]*protobufs.ComponentHealth{"a": {LastError: "no"}, "b": nil}}
	m.AvailableComponents = &protobufs.AvailableComponents{Components: map[string]*protobufs.ComponentDetails{"receivers": nil}, Hash: []byte{1}}
	for _, m := range []*protobufs.AgentToServer{m, heartbeat(uid, 3), {}, {InstanceUid: uid[:], AgentDisconnect: &protobufs.AgentDisconnect{}}, {InstanceUid: uid[:], Flags: 1}} {
		body, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var m protobufs.AgentToServer
		if proto.Unmarshal(body, &m) != nil {
			return
		}
		r := &recorder{t: t}
		r.offer("", remoteconf.Set{"a": []byte("x: 1\n")})
		s := newServer(t, r)
		receive := s.receive(&connection{address: "here", agents: map[uuid.UUID]*agent{}})
		for range 2 {
			out := receive(t.Context(), nil, &m)
			_, err := proto.Marshal(out)
			require.NoError(t, err)
		}
		for _, seen := range r.seen() {
			require.NotEmpty(t, seen.ID)
		}
	})
}

// BenchmarkHeartbeat measures the most frequent message: nothing new, nothing to offer.
func BenchmarkHeartbeat(b *testing.B) {
	r := &silent{}
	s := newServer(b, r)
	uid := uuid.Must(uuid.NewV7())
	receive := s.receive(&connection{address: "here", agents: map[uuid.UUID]*agent{}})
	receive(b.Context(), nil, full(uid, 0))
	m := heartbeat(uid, 0)
	b.ReportAllocs()
	for b.Loop() {
		m.SequenceNum++
		receive(b.Context(), nil, m)
	}
	require.Zero(b, r.asked.Load())
}
