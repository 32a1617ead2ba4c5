package prometheuswalexporter

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// tmpfs mounts a small disk, which takes the right to mount.
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

	// Full: what is committed is sent nevertheless, and the status tells.
	filler := fillDisk(t, dir)
	for i := range 50 {
		appendN(t, e, 100, int64(2000+i), float64(i)+.1)
	}
	sink.waitFor(t, 51*100)
	errs := host.waitFor(t, componentstatus.StatusRecoverableError)
	require.ErrorIs(t, errs[0], syscall.ENOSPC)

	// Full and the endpoint away: what the queues cannot hold is refused, not
	// silently lost.
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

	// Room again: it goes on by itself, and the status is good.
	require.NoError(t, os.Remove(filler))
	sink.setAnswer(nil)
	require.Eventually(t, func() bool {
		e.writer.mu.Lock()
		defer e.writer.mu.Unlock()
		return e.writer.live
	}, time.Minute, 5*time.Millisecond)
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
	e.writer.mu.Lock()
	require.NoError(t, e.writer.logErr)
	e.writer.mu.Unlock()
}

// A directory on a read-only disk: samples are sent; nothing is written.
func TestReadOnlyDirectory(t *testing.T) {
	dir := tmpfs(t, "1m")
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.WAL.Directory = filepath.Join(dir, "wal")
	host := newStatusHost()
	e := startOn(t, host, cfg)
	require.Eventually(t, func() bool {
		e.writer.mu.Lock()
		defer e.writer.mu.Unlock()
		return e.writer.live
	}, time.Minute, time.Millisecond)
	appendN(t, e, 10, 1000, 1)
	sink.waitFor(t, 10)
	errs := host.waitFor(t, componentstatus.StatusRecoverableError)
	require.ErrorIs(t, errs[0], syscall.EROFS)
}
