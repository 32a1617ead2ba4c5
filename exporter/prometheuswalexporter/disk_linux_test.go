package prometheuswalexporter

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	ownmetadata "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/wal/walposition"
)

// tmpfs mounts a small disk. The test is skipped if mounting is not permitted.
func tmpfs(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("mounting a tmpfs is not permitted here")
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func fillDisk(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "filler")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	return path
}

func TestDiskFull(t *testing.T) {
	dir := tmpfs(t, "8m")
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.WAL.Directory = filepath.Join(dir, "wal")
	cfg.WAL.SegmentSize = 1 << 20
	host := newStatusHost()
	e := startOn(t, host, cfg)
	appendN(t, e, 100, 1000, 1)
	sink.waitFor(t, 100)

	// The disk is full: samples are sent nevertheless, and the status reports it.
	filler := fillDisk(t, dir)
	for i := range 50 {
		appendN(t, e, 100, int64(2000+i), float64(i)+.1)
	}
	sink.waitFor(t, 51*100)
	errs := host.waitFor(t, componentstatus.StatusRecoverableError)
	require.ErrorIs(t, errs[0], syscall.ENOSPC)

	// The endpoint is away as well: samples beyond the capacity of the queues are
	// refused, not lost silently.
	sink.setAnswer(func(*http.Request) int { return http.StatusServiceUnavailable })
	var err error
	for i := 0; err == nil && i < 100_000; i++ {
		app := e.newAppender()
		for n := range 1000 {
			_, aerr := app.Append(0, seriesLabels(n), 0, int64(3000+i), float64(i), nil, nil, storage.AOptions{})
			require.NoError(t, aerr)
		}
		err = app.Commit()
	}
	require.ErrorContains(t, err, "the write-ahead log cannot take samples and the endpoint is behind")

	// There is room again: logging resumes by itself, and the status recovers.
	require.NoError(t, os.Remove(filler))
	sink.setAnswer(nil)
	require.Eventually(t, e.isLive, time.Minute, 5*time.Millisecond)
	appendN(t, e, 10, 900_000, 7)
	require.Eventually(t, func() bool {
		s := sink.series()[seriesLabels(3).String()].samples
		return s[len(s)-1].t == 900_000
	}, time.Minute, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		host.mu.Lock()
		defer host.mu.Unlock()
		return host.events[len(host.events)-1].Status() == componentstatus.StatusOK
	}, time.Minute, 5*time.Millisecond)
	require.NoError(t, e.queue.Stats().LogErr)
}

// With a directory on a read-only disk, samples are sent and nothing is written.
func TestReadOnlyDirectory(t *testing.T) {
	dir := tmpfs(t, "1m")
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.WAL.Directory = filepath.Join(dir, "wal")
	host := newStatusHost()
	e := startOn(t, host, cfg)
	require.Eventually(t, e.isLive, time.Minute, time.Millisecond)
	appendN(t, e, 10, 1000, 1)
	sink.waitFor(t, 10)
	errs := host.waitFor(t, componentstatus.StatusRecoverableError)
	require.ErrorIs(t, errs[0], syscall.EROFS)
}

// fillByLog commits distinct samples of n series until the log refuses them, and
// returns the time of the first round that was refused.
func fillByLog(t *testing.T, e *walExporter, n int, from int64) (next int64) {
	t.Helper()
	for at := from; ; at++ {
		app := e.newAppender()
		for i := range n {
			_, err := app.Append(0, seriesLabels(i), 0, at, float64(at)+.1, nil, nil, storage.AOptions{})
			require.NoError(t, err)
		}
		if err := app.Commit(); err != nil {
			require.ErrorContains(t, err, "the write-ahead log cannot take samples and the endpoint is behind")
			return at
		}
		require.Less(t, at, from+100_000)
	}
}

// A disk that the log itself has filled, while the endpoint was away since the
// first start, is freed when the endpoint acknowledges samples. That works even if
// the disk is smaller than a segment, or has no room for the position.
func TestDiskFilledByTheLog(t *testing.T) {
	for _, c := range []struct {
		name, size string
		inodes     string // the disk runs out of these instead
		position   func(t *testing.T, path string)
	}{
		{name: "many segments", size: "8m"},
		{name: "less than a segment", size: "512k"},
		{name: "a segment and a bit", size: "1100k"},
		{name: "no inodes", size: "16m", inodes: "8"},
		{name: "the position of an earlier version", size: "4m", position: func(t *testing.T, path string) {
			require.NoError(t, os.Truncate(path, 0))
		}},
		{name: "a damaged position", size: "4m", position: func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("not a position"), 0o600))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tmpfs(t, c.size+",nr_inodes="+cmp.Or(c.inodes, "0"))
			sink := newSink(t)
			sink.setAnswer(func(*http.Request) int { return http.StatusServiceUnavailable })
			cfg := testConfig(t, sink.url)
			cfg.WAL.Directory = filepath.Join(dir, "wal")
			cfg.WAL.SegmentSize = 1 << 20
			cfg.Queue.MaxSamplesPerSend = 500
			const series = 200
			e, stop := startExporter(t, cfg)
			next := fillByLog(t, e, series, 1000)
			if c.position != nil {
				stop()
				c.position(t, filepath.Join(cfg.WAL.Directory, "position"))
				fillDisk(t, dir)
				e, stop = startExporter(t, cfg)
			}
			full := e.queue.Stats().Log.Bytes

			sink.setAnswer(nil)
			requireRounds := func(upTo int64) {
				require.Eventually(t, func() bool {
					all := sink.series()
					for i := range series {
						s := all[seriesLabels(i).String()]
						if s == nil || s.samples[len(s.samples)-1].t != upTo {
							return false
						}
					}
					return true
				}, time.Minute, 5*time.Millisecond)
			}
			requireRounds(next - 1)
			for name, s := range sink.series() {
				require.Len(t, s.samples, int(next-1000), name)
			}
			require.Eventually(t, func() bool { return e.queue.Stats().Log.Bytes < full/4 }, time.Minute, 5*time.Millisecond,
				"what was acknowledged is deleted")
			require.Eventually(t, func() bool {
				appendN(t, e, series, next, 1)
				next++
				return e.queue.Stats().LogErr == nil
			}, time.Minute, 50*time.Millisecond, "samples are logged again")
			requireRounds(next - 1)
			stop()

			// A restart sends only new samples.
			sink.reset()
			e, _ = startExporter(t, cfg)
			appendN(t, e, series, next, 2)
			requireRounds(next)
			for name, s := range sink.series() {
				require.Len(t, s.samples, 1, name)
			}
		})
	}
}

// Logging resumes by itself after a fault of the disk.
func TestLoggingResumes(t *testing.T) {
	for _, c := range []struct {
		name          string
		fails         error
		breaks, mends func(t *testing.T, dir string)
	}{
		{
			"read-only for a while", syscall.EROFS,
			func(t *testing.T, dir string) {
				// A bind mount can become read-only while files are open for
				// writing. These stay usable, but no files can be created.
				require.NoError(t, syscall.Mount(dir, dir, "", syscall.MS_BIND, ""))
				require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""))
			},
			func(t *testing.T, dir string) { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) },
		},
		{
			"filled by somebody else", syscall.ENOSPC,
			func(t *testing.T, dir string) { fillDisk(t, dir) },
			func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "filler"))) },
		},
		{
			"inodes used up by somebody else", syscall.ENOSPC,
			func(t *testing.T, dir string) {
				for i := 0; ; i++ {
					if err := os.WriteFile(filepath.Join(dir, "filler"+strconv.Itoa(i)), nil, 0o600); err != nil {
						require.ErrorIs(t, err, syscall.ENOSPC)
						return
					}
				}
			},
			func(t *testing.T, dir string) {
				names, err := filepath.Glob(filepath.Join(dir, "filler*"))
				require.NoError(t, err)
				for _, name := range names {
					require.NoError(t, os.Remove(name))
				}
			},
		},
		{
			"the directory deleted", nil,
			func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "wal"))) },
			func(*testing.T, string) {},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tmpfs(t, "4m,nr_inodes=20")
			sink := newSink(t)
			cfg := testConfig(t, sink.url)
			cfg.WAL.Directory = filepath.Join(dir, "wal")
			cfg.WAL.SegmentSize = 1 << 20
			host := newStatusHost()
			e := startOn(t, host, cfg)
			at := int64(1000)
			logErr := func() error { return e.queue.Stats().LogErr }
			const series = 1000
			commit := func() {
				at++
				appendN(t, e, series, at, float64(at)+.1)
				sink.waitFor(t, series*int(at-1000)) // a deleted file loses its samples
			}
			commit()
			c.breaks(t, dir)
			if c.fails != nil {
				require.Eventually(t, func() bool { commit(); return errors.Is(logErr(), c.fails) }, time.Minute, time.Millisecond)
			} else {
				for e.queue.Stats().End.Segment < 2 {
					commit()
				}
			}
			c.mends(t, dir)
			require.Eventually(t, func() bool { commit(); return logErr() == nil }, time.Minute, 10*time.Millisecond)
			require.Eventually(t, func() bool {
				host.mu.Lock()
				defer host.mu.Unlock()
				return len(host.events) == 0 || host.events[len(host.events)-1].Status() == componentstatus.StatusOK
			}, time.Minute, 5*time.Millisecond)
			require.Eventually(t, func() bool {
				s := sink.series()[seriesLabels(3).String()].samples
				return len(s) == int(at-1000) && s[len(s)-1].t == at
			}, time.Minute, 5*time.Millisecond, "every sample arrived once")
			require.NotEmpty(t, segments(t, cfg.WAL.Directory))
		})
	}
}

// If the position could not be saved and the process is killed, only acknowledged
// samples of segments that still exist are sent again.
func TestKilledWithoutSavedPosition(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.WAL.SegmentSize = 1 << 20
	e, stop := startExporter(t, cfg)
	appendN(t, e, 10, 1000, 1)
	sink.waitFor(t, 10)
	require.Eventually(t, func() bool {
		pos, ok, err := walposition.Read(cfg.WAL.Directory)
		return err == nil && ok && pos == e.queue.Stats().End
	}, time.Minute, time.Millisecond)
	early, err := os.ReadFile(filepath.Join(cfg.WAL.Directory, "position"))
	require.NoError(t, err)
	at := int64(1000)
	for e.queue.Stats().Log.First < 3 {
		at++
		appendN(t, e, 400, at, float64(at)+.1)
	}
	stop()
	require.NoError(t, os.WriteFile(filepath.Join(cfg.WAL.Directory, "position"), early, 0o600))
	sink.reset()
	set := exportertest.NewNopSettings(ownmetadata.Type)
	core, logs := observer.New(zap.WarnLevel)
	set.Logger = zap.New(core)
	e, err = newExporter(set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), newStatusHost()))
	appendN(t, e, 400, at+1, 1)
	require.Eventually(t, func() bool {
		s := sink.series()[seriesLabels(3).String()]
		return s != nil && s.samples[len(s.samples)-1].t == at+1
	}, time.Minute, time.Millisecond)
	require.NoError(t, e.Shutdown(t.Context()))
	require.Empty(t, logs.All(), "deleted segments are not missing ones")
}
