package lokisink

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
)

func TestLedger(t *testing.T) {
	s := &Sink{Ledger: true}
	send := func(lines ...string) int {
		stream := push.Stream{Labels: `{a="b"}`}
		for _, line := range lines {
			stream.Entries = append(stream.Entries, push.Entry{Line: line})
		}
		plain, err := (&push.PushRequest{Streams: []push.Stream{stream}}).Marshal()
		require.NoError(t, err)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(snappy.Encode(nil, plain))))
		return w.Code
	}
	require.Equal(t, 204, send(Mark("w", 0)+"x", Mark("w", 2)+"x", "no mark", Mark("v", 0)))
	s.Fail(503)
	require.Equal(t, 503, send(Mark("w", 1)))
	s.Fail(0)
	missing, repeated := s.Series("w").Sum(4)
	require.Equal(t, 2, missing)
	require.Zero(t, repeated)
	require.Equal(t, 204, send(Mark("w", 1), Mark("w", 2), Mark("w", 3)))
	got := s.Wait("w", 4, time.Second)
	missing, repeated = got.Sum(4)
	require.Zero(t, missing)
	require.Equal(t, 1, repeated)
	require.Equal(t, 1, got.Disordered)
	require.Equal(t, int64(7), s.Lines())
	require.Equal(t, -1, s.Series("nobody").Highest)
}
