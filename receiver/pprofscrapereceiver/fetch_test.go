package pprofscrapereceiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// goroutines returns the goroutine profile of this process, as Go compresses it.
func goroutines(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&buf, 0))
	return buf.Bytes()
}

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func decompress(t testing.TB, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	return plain
}

const testLimit = 1 << 20

func newTestReader(limit int64) reader {
	return reader{memory: newMemoryLimit(memoryPerLimit * limit), limit: limit}
}

// fetchFrom fetches a profile from a handler.
func fetchFrom(t *testing.T, handler http.HandlerFunc) (*profile.Profile, int, error) {
	t.Helper()
	address := startServer(t, handler)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	f := &fetcher{client: client, reader: newTestReader(testLimit)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := f.fetch(ctx, "http://"+address+"/debug/pprof/x")
	if err != nil {
		require.Empty(t, f.reader.memory.taken)
		return nil, 0, err
	}
	s.done()
	require.Empty(t, f.reader.memory.taken)
	return s.profile, s.size, nil
}

func TestAnswersThatAreProfiles(t *testing.T) {
	compressed := goroutines(t)
	plain := decompress(t, compressed)
	f := func(body []byte, header ...string) {
		t.Helper()
		p, size, err := fetchFrom(t, func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			_, _ = w.Write(body)
		})
		require.NoError(t, err)
		require.Equal(t, len(plain), size)
		require.NotEmpty(t, p.Sample)
	}
	f(compressed)
	f(plain)
	f(compress(t, plain), "Content-Encoding", "gzip")
	f(compress(t, compressed), "Content-Encoding", "gzip") // by a proxy as well
	f(compressed, "Content-Type", "text/plain")            // the Content-Type is ignored

	p, _, err := fetchFrom(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = pprof.Lookup("goroutine").WriteTo(w, 1) // the older text
	})
	require.NoError(t, err)
	require.NotEmpty(t, p.Sample)
}

func TestAnswersThatAreNot(t *testing.T) {
	f := func(why reason, want string, handler http.HandlerFunc) {
		t.Helper()
		_, _, err := fetchFrom(t, handler)
		require.ErrorContains(t, err, want)
		var failed *failure
		require.ErrorAs(t, err, &failed)
		require.Equal(t, why, failed.reason)
		require.NotContains(t, err.Error(), "\n")
	}
	body := func(data []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
	}
	f(reasonStatus, "the endpoint answered 404 Not Found: 404 page not found", http.NotFound)
	f(reasonStatus, "the endpoint answered 500 Internal Server Error: cpu profiling already in use", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "cpu profiling already in use", http.StatusInternalServerError)
	})
	f(reasonInvalid, `the answer is not a pprof profile: it is text; it begins with "<!DOCTYPE html>`, body([]byte("<!DOCTYPE html><title>x</title>")))
	f(reasonInvalid, "the answer is not a pprof profile: it is text", body([]byte(`{"error": "no"}`)))
	f(reasonInvalid, "the answer is not a pprof profile", body([]byte("hello, world, this is not a profile")))
	f(reasonInvalid, "the answer is empty", body(nil))
	f(reasonInvalid, "the answer is empty", body(compress(t, nil)))
	f(reasonInvalid, "read the answer: unexpected EOF", body(goroutines(t)[:100]))
	f(reasonConnection, "read the answer: unexpected EOF", func(w http.ResponseWriter, _ *http.Request) {
		whole := goroutines(t)
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(whole[:len(whole)/2])
	})
	f(reasonInvalid, "decompress the answer: ", body([]byte{0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}))
	f(reasonInvalid, "the answer is compressed more than 2 times", body(compress(t, compress(t, goroutines(t)))))
	f(reasonTooLarge, "the profile is larger than body_size_limit, 1MiB", body(bytes.Repeat([]byte{0}, testLimit+1)))
	f(reasonTooLarge, "the profile has more elements than body_size_limit, 1MiB, has room for", body(compress(t, bytes.Repeat([]byte{2<<3 | 2, 0}, 400_000))))
	f(reasonConnection, "ask the target: ", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
}

func TestBomb(t *testing.T) {
	// A GiB: the content of a gzip file is that of all its members.
	inner := bytes.Repeat(compress(t, make([]byte, 16<<20)), 64)
	require.Less(t, len(inner), 2<<20)
	for _, data := range [][]byte{inner, compress(t, inner)} {
		f := &fetcher{reader: newTestReader(4 << 20)}
		var buf bytes.Buffer
		err := f.decompress(&buf, bytes.NewReader(data))
		var tooLarge *http.MaxBytesError
		require.ErrorAs(t, err, &tooLarge)
		require.LessOrEqual(t, buf.Cap(), 16<<20, "no more than was allowed is in memory, but for how a buffer grows")
	}
}

func TestTimeoutIsTold(t *testing.T) {
	address := startServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, err := (&fetcher{client: client, reader: newTestReader(testLimit)}).fetch(ctx, "http://"+address+"/")
	var failed *failure
	require.ErrorAs(t, err, &failed)
	require.Equal(t, reasonTimeout, failed.reason)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), address, "the address is beside it in the log")
}

// FuzzAnswer reads arbitrary answers. Those that are accepted must be valid profiles.
func FuzzAnswer(f *testing.F) {
	compressed := goroutines(f)
	plain := decompress(f, compressed)
	f.Add(compressed)
	f.Add(plain)
	f.Add(compress(f, compressed))
	f.Add(compressed[:len(compressed)/2])
	f.Add([]byte("<html>"))
	f.Add([]byte("goroutine profile: total 1\n1 @ 0x1 0x2\n"))
	f.Add([]byte("heap profile: 1: 2 [3: 4] @ heap/512\n1: 2 [3: 4] @ 0x1\n"))
	f.Add([]byte("--- contention:\ncycles/second=1\n1 2 @ 0x1\n"))
	fetcher := &fetcher{reader: newTestReader(testLimit)}
	f.Fuzz(func(t *testing.T, data []byte) {
		var buf bytes.Buffer
		if err := fetcher.decompress(&buf, bytes.NewReader(data)); err != nil {
			return
		}
		require.LessOrEqual(t, buf.Len(), testLimit)
		s, err := fetcher.reader.read(t.Context(), buf.Bytes())
		if err != nil {
			return
		}
		defer s.done()
		p := s.profile
		require.NoError(t, p.CheckValid())
		pd, err := converter{}.convert(s, &target{name: "x"})
		if err != nil {
			if !errors.Is(err, pprofconv.ErrTooLarge) {
				require.Empty(t, p.SampleType, "nothing else is wrong with what is read: %v", err)
			}
			return
		}
		require.Equal(t, len(p.SampleType), pd.ProfileCount())
	})
}
