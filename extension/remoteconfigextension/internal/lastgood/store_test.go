package lastgood

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, "remote_config")
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it
	return s
}

// reopen opens the directory like the next process after a kill: the kernel has released
// the lock, and nothing else was done.
func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	require.NoError(t, s.Close())
	return open(t, s.dir)
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	_, err = Open(dir, "remote_config/second")
	require.ErrorContains(t, err, "storage_directory: remote_config/second wants the directory "+dir+", which remote_config (process ")
	require.NoError(t, s.Close())
	open(t, dir)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(filepath.Join(file, "x"), "remote_config")
	require.ErrorContains(t, err, "storage_directory: ")
	require.ErrorContains(t, err, "cannot be made")
}

func TestIDStays(t *testing.T) {
	s := open(t, t.TempDir())
	id, damaged, err := s.ID()
	require.NoError(t, err)
	require.NoError(t, damaged)
	require.Equal(t, uuid.Version(7), uuid.MustParse(id).Version())

	s = reopen(t, s)
	again, damaged, err := s.ID()
	require.NoError(t, err)
	require.NoError(t, damaged)
	require.Equal(t, id, again)

	require.NoError(t, os.WriteFile(s.path(idName), []byte("rubbish"), 0o600))
	again, damaged, err = s.ID()
	require.NoError(t, err)
	require.ErrorContains(t, damaged, "is damaged and was renamed to id.damaged")
	require.NotEqual(t, id, again)
	require.FileExists(t, s.path("id.damaged"))
}

func TestInstanceUID(t *testing.T) {
	s := open(t, t.TempDir())
	f := func(id, want string) {
		t.Helper()
		uid, err := s.InstanceUID(id)
		require.NoError(t, err)
		require.Equal(t, want, uid)
	}
	f("host 1", "")
	uid := uuid.NewString()
	require.NoError(t, s.SetInstanceUID("host 1", uid))
	f("host 1", uid)
	f("host 2", "")
	require.NoError(t, os.WriteFile(s.path(instanceName), []byte("rubbish host 1"), 0o600))
	f("host 1", "")
}

func record() *Record {
	return &Record{
		Hash: "7", Rules: "allowed_paths: [/var/log]\n", Accepted: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Set: remoteconf.Set{"remote": []byte("a: 1\r\n# €\n\tb: 2"), "other": []byte("\xff\xfe not UTF-8")},
	}
}

func TestLastGood(t *testing.T) {
	s := open(t, t.TempDir())
	r, damaged, err := s.LastGood()
	require.NoError(t, err)
	require.NoError(t, damaged)
	require.Nil(t, r)

	require.NoError(t, s.SetLastGood(record()))
	info, err := os.Stat(s.path(recordName))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	s = reopen(t, s)
	r, damaged, err = s.LastGood()
	require.NoError(t, err)
	require.NoError(t, damaged)
	require.Equal(t, record(), r)

	empty := &Record{Hash: "8", Set: remoteconf.Set{}, Accepted: record().Accepted}
	require.NoError(t, s.SetLastGood(empty))
	r, _, err = s.LastGood()
	require.NoError(t, err)
	require.Equal(t, empty, r)
}

func TestDamagedLastGood(t *testing.T) {
	f := func(damage func(string) string, want string) {
		t.Helper()
		s := open(t, t.TempDir())
		require.NoError(t, s.SetLastGood(record()))
		content, err := os.ReadFile(s.path(recordName))
		require.NoError(t, err)
		broken := damage(string(content))
		require.NotEqual(t, string(content), broken)
		require.NoError(t, os.WriteFile(s.path(recordName), []byte(broken), 0o600))
		r, damaged, err := s.LastGood()
		require.NoError(t, err)
		require.Nil(t, r)
		require.ErrorContains(t, damaged, "last_good.yaml is damaged and was renamed to last_good.yaml.damaged")
		require.ErrorContains(t, damaged, want)
		kept, err := os.ReadFile(s.path(recordName + damagedSuffix))
		require.NoError(t, err)
		require.Equal(t, broken, string(kept))
		r, damaged, err = s.LastGood()
		require.NoError(t, err)
		require.NoError(t, damaged)
		require.Nil(t, r)
	}
	f(func(string) string { return "" }, "EOF")
	f(func(s string) string { return s[:len(s)/2] }, "")
	f(func(s string) string { return strings.Replace(s, "a: 1", "a: 2", 1) }, "the checksum of its pipelines")
	f(func(s string) string { return strings.Replace(s, "version: 1", "version: 9", 1) }, "version 9 is not known")
	f(func(s string) string { return s + "more: 1\n" }, "more")
}

func TestUnreadableLastGood(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, os.Mkdir(s.path(recordName), 0o700))
	_, damaged, err := s.LastGood()
	require.NoError(t, damaged)
	require.Error(t, err)

	large := open(t, t.TempDir())
	require.NoError(t, os.WriteFile(large.path(recordName), nil, 0o600))
	require.NoError(t, os.Truncate(large.path(recordName), maxFile+1))
	_, _, err = large.LastGood()
	require.ErrorContains(t, err, "has more than 34603008 bytes")
}

func TestWriteThatFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a directory is replaced by renaming there")
	}
	s := open(t, t.TempDir())
	require.NoError(t, os.Mkdir(s.path(recordName), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(s.path(recordName), "x"), nil, 0o600))
	require.Error(t, s.SetLastGood(record()))
	left, err := filepath.Glob(s.path(tempPrefix + "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestTemporaryFilesAreRemoved(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, os.WriteFile(s.path(tempPrefix+"123"), []byte("half"), 0o600))
	s = reopen(t, s)
	require.NoFileExists(t, s.path(tempPrefix+"123"))
}

func TestTrial(t *testing.T) {
	s := open(t, t.TempDir())
	require.Zero(t, s.Trial.Deaths("a"))
	require.NoError(t, s.Trial.Begin("a"))
	require.Zero(t, s.Trial.Deaths("a"), "the process lives")

	s = reopen(t, s)
	require.Equal(t, 1, s.Trial.Deaths("a"))
	require.Zero(t, s.Trial.Deaths("b"))
	s = reopen(t, s)
	require.Equal(t, 1, s.Trial.Deaths("a"), "it was not tried again")

	require.NoError(t, s.Trial.Begin("a"))
	require.NoError(t, s.Trial.Abandon())
	s = reopen(t, s)
	require.Equal(t, 1, s.Trial.Deaths("a"), "it was stopped, and did not end by itself")

	require.NoError(t, s.Trial.Begin("a"))
	s = reopen(t, s)
	require.Equal(t, 2, s.Trial.Deaths("a"))

	require.NoError(t, s.Trial.Begin("b"))
	require.NoError(t, s.Trial.End())
	require.NoFileExists(t, s.path(trialName))
	s = reopen(t, s)
	require.Zero(t, s.Trial.Deaths("a"), "another configuration was tried since")
	require.Zero(t, s.Trial.Deaths("b"))

	require.NoError(t, s.Trial.Begin("c"))
	require.NoError(t, s.Trial.Abandon())
	require.NoFileExists(t, s.path(trialName))
	require.NoError(t, s.Trial.End(), "there is none")
}

func TestTrialOfTheLastGood(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, s.Trial.Begin("7"))
	require.NoError(t, s.SetLastGood(record()))
	s = reopen(t, s) // the process ended before EndTrial
	_, _, err := s.LastGood()
	require.NoError(t, err)
	require.Zero(t, s.Trial.Deaths("7"))
	require.NoFileExists(t, s.path(trialName))
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, s.Trial.Begin("7"))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.SetLastGood(record()), errClosed)
	require.ErrorIs(t, s.Trial.End(), errClosed)
	require.ErrorIs(t, s.Trial.Abandon(), errClosed)
	require.FileExists(t, s.path(trialName))
}

func TestDamagedNotes(t *testing.T) {
	f := func(content string) {
		t.Helper()
		s := open(t, t.TempDir())
		for _, name := range []string{trialName, startName} {
			require.NoError(t, os.WriteFile(s.path(name), []byte(content), 0o600))
		}
		s = reopen(t, s)
		require.NoFileExists(t, s.path(trialName))
		require.NoFileExists(t, s.path(startName))
		require.Zero(t, s.Trial.Deaths(""))
		require.Zero(t, s.Start.Deaths(""))
	}
	f("")
	f("{")
	f(`{"hash":"","deaths":-1,"trying":true}`)
	f(`{"hash":"","tries":1}`)
}

func TestStart(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, s.Start.Begin("a"))
	require.NoError(t, s.Trial.Begin("b"))
	info, err := os.Stat(s.path(startName))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	for n := range 3 {
		s = reopen(t, s)
		require.Equal(t, n+1, s.Start.Deaths("a"))
		require.Equal(t, 1, s.Trial.Deaths("b"), "they are counted apart")
		require.Zero(t, s.Start.Deaths("b"))
		require.NoError(t, s.Start.Begin("a"))
	}
	require.NoError(t, s.Start.Begin("c"))
	require.Zero(t, s.Start.Deaths("c"))
	require.NoError(t, s.Start.End())
	require.NoFileExists(t, s.path(startName))
	require.FileExists(t, s.path(trialName))
}

// A full disk must not prevent the start of a collector.
func TestCountThatCannotBeWritten(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, s.Start.Begin("a"))
	require.NoError(t, s.Close()) // every change is refused from now on
	a := &Attempt{store: s, name: startName}
	require.NoError(t, a.load())
	require.Equal(t, 1, a.Deaths("a"))
	require.Error(t, a.Begin("a"), "and this is told")
	require.Equal(t, 1, a.Deaths("a"))
}

// testdata/v1 was written by the first version, in the middle of a trial.
func TestDirectoryOfTheFirstVersion(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "v1"))))
	s := open(t, dir)
	id, damaged, err := s.ID()
	require.NoError(t, err)
	require.NoError(t, damaged)
	require.Equal(t, "019bab4c-9b6f-7a1c-8a52-3f0e6d1c2b4a", id)
	uid, err := s.InstanceUID(id)
	require.NoError(t, err)
	require.Equal(t, "019bab4d-0000-7000-8000-000000000001", uid)
	r, damaged, err := s.LastGood()
	require.NoError(t, err)
	require.NoError(t, damaged)
	require.Equal(t, record(), r)
	require.Equal(t, 2, s.Trial.Deaths("8"))
	require.Zero(t, s.Start.Deaths("7"))
}

func FuzzRecord(f *testing.F) {
	whole, err := encodeRecord(record())
	require.NoError(f, err)
	f.Add(whole)
	f.Add([]byte("version: 1\nchecksum: \"\"\n"))
	f.Add([]byte("version: 1\npipelines: &a {x: *a}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := decodeRecord(content)
		if err != nil {
			require.Nil(t, r)
			return
		}
		content, err = encodeRecord(r)
		require.NoError(t, err)
		again, err := decodeRecord(content)
		require.NoError(t, err)
		require.Equal(t, r.Set, again.Set)
		require.Equal(t, r.Hash, again.Hash)
	})
}

func FuzzNote(f *testing.F) {
	f.Add([]byte(`{"hash":"a","deaths":1,"trying":true}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if got, err := decodeNote(content); err != nil {
			require.Zero(t, got)
		} else {
			require.GreaterOrEqual(t, got.Deaths, 0)
		}
	})
}
