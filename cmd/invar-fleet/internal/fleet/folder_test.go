package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

func TestFolderIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{"a": body("1"), "b": body("b"), ".hidden": body("h"), "notes.txt": "x"})
		defer b.close()
		c := b.collector("c")
		c.poll()
		wait(11 * time.Second)
		b.write("a", body("2"))
		wait(11 * time.Second)
		require.Equal(t, "2", c.runs("a"))
		c.poll()
		list, err := b.Revisions("a")
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, "file", list[0].Actor)

		b.write("a", "config: [")
		wait(11 * time.Second)
		require.Equal(t, "2", c.runs("a"))
		p := b.pipeline("a")
		require.Contains(t, p.Error, "not a pipeline's YAML")
		require.Equal(t, body("2"), p.Content)
		b.write("new", "enabled: maybe")
		wait(11 * time.Second)
		require.Contains(t, b.pipeline("new").Error, "cannot unmarshal")
		b.write("a", body("2")) // as it was: no revision, no error
		b.write("new", body("n"))
		wait(11 * time.Second)
		require.Empty(t, b.pipeline("a").Error)
		require.Equal(t, uint64(2), b.pipeline("a").StableRevision)
		require.Equal(t, "n", c.runs("new"))

		require.NoError(t, os.Remove(filepath.Join(b.settings.Folder, "a.yaml")))
		wait(11 * time.Second)
		require.Empty(t, c.runs("a"))
		_, err = b.Pipeline("a")
		require.ErrorIs(t, err, ErrNotFound)
		b.write("a", body("3")) // comes back, with its history
		wait(11 * time.Second)
		require.Equal(t, "3", c.runs("a"))
		list, err = b.Revisions("a")
		require.NoError(t, err)
		require.Len(t, list, 3)

		for _, name := range []string{"a", "b", "new"} {
			require.NoError(t, os.Rename(filepath.Join(b.settings.Folder, name+".yaml"), filepath.Join(b.settings.Folder, name+".gone")))
		}
		wait(time.Minute)
		require.Equal(t, []string{"a", "b", "new"}, c.report().Set.Names()) // nobody removes all at once
		require.ErrorContains(t, b.summaryError(), "all 3 files are gone at once")
		moved := b.settings.Folder + ".away"
		require.NoError(t, os.Rename(b.settings.Folder, moved))
		wait(time.Minute)
		require.Equal(t, []string{"a", "b", "new"}, c.report().Set.Names())
		require.ErrorContains(t, b.summaryError(), "no such file")
		require.NoError(t, os.Rename(moved, b.settings.Folder))
		for _, name := range []string{"a", "b", "new"} {
			require.NoError(t, os.Rename(filepath.Join(b.settings.Folder, name+".gone"), filepath.Join(b.settings.Folder, name+".yaml")))
		}
		wait(11 * time.Second)
		require.NoError(t, b.summaryError())
	})
}

func TestLostStateTakesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		b.publish("old", stagedPlan+body("1")) // stages are for what comes while the server runs
		require.Zero(t, b.pipeline("old").StableRevision)
		b.close()
		require.NoError(t, os.Remove(b.settings.StateFile))
		b.reopen()
		defer b.close()
		require.Equal(t, uint64(1), b.pipeline("old").StableRevision)
		require.Equal(t, rollout.None, b.pipeline("old").Rollout.State)
		require.Equal(t, 50, b.group(50).with("old", "1"))
		b.write("new", stagedPlan+body("1"))
		wait(11 * time.Second)
		require.Equal(t, rollout.Running, b.pipeline("new").Rollout.State)
		require.Less(t, b.group(50).with("new", "1"), 25)
	})
}

func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := open(t, nil)
		defer b.close()
		f := func(name, content, ifMatch string, want error) uint64 {
			t.Helper()
			number, err := b.Publish(ctx, "ann", name, []byte(content), ifMatch)
			require.ErrorIs(t, err, want)
			return number
		}
		f("a b", body("1"), "", ErrInvalid)
		f("../a", body("1"), "", ErrInvalid)
		f("a", "config: 1", "", ErrInvalid)
		f("a", body("1"), "*", ErrChanged)
		require.Equal(t, uint64(1), f("a", body("1"), "", nil))
		require.Equal(t, uint64(1), f("a", body("1"), "", nil)) // the same is no revision
		tag := b.pipeline("a").Tag
		require.NotEmpty(t, tag)
		require.Equal(t, uint64(2), f("a", body("2"), tag, nil))
		f("a", body("3"), tag, ErrChanged)
		require.Equal(t, uint64(3), f("a", body("3"), "*", nil))
		f("b", "replaces: [nothing]\n"+body("1"), "", ErrInvalid)
		f("b", "replaces: [a]\n"+body("1"), "", nil)
		f("a", "replaces: [b]\n"+body("1"), "", ErrInvalid) // in a circle
		onDisk, err := os.ReadFile(filepath.Join(b.settings.Folder, "a.yaml"))
		require.NoError(t, err)
		require.Equal(t, body("3"), string(onDisk))
		names, err := filepath.Glob(filepath.Join(b.settings.Folder, ".*"))
		require.NoError(t, err)
		require.Empty(t, names) // nothing temporary stays

		require.NoError(t, b.Remove(ctx, "ann", "b"))
		require.ErrorIs(t, b.Remove(ctx, "ann", "b"), ErrNotFound)
		require.NoFileExists(t, filepath.Join(b.settings.Folder, "b.yaml"))
		wait(time.Minute)
		require.Len(t, b.Pipelines(), 1)
		require.Contains(t, b.actions(), "ann removed b")

		for i := range 60 {
			f("a", body(fmt.Sprint("r", i)), "", nil)
		}
		wait(2 * time.Second)
		list, err := b.Revisions("a")
		require.NoError(t, err)
		require.Len(t, list, keptRevisions)
		require.Equal(t, uint64(63), list[0].Number)
		b.close()
		b.reopen()
		reloaded, err := b.Revisions("a")
		require.NoError(t, err)
		require.Equal(t, list, reloaded)
	})
}

func TestPublishToAFolderThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{"a": body("1")})
		defer b.close()
		wait(5 * time.Second)
		folder := b.settings.Folder
		require.NoError(t, os.Rename(folder, folder+".away"))
		_, err := b.Publish(t.Context(), "ann", "a", []byte(body("2")), "")
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Equal(t, "1", b.collector("c").runs("a"))
		require.Equal(t, uint64(1), b.pipeline("a").StableRevision)
	})
}

func TestEverythingSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := open(t, map[string]string{"a": body("1"), "off": "enabled: false\n" + body("o")})
		g := b.group(20)
		b.stable(g, "s", stagedPlan+body("1"))
		b.publish("s", stagedPlan+body("2"))
		g.pollFor(10 * time.Second)
		g[0].refuse = nil
		healthy := true
		_, err := b.Seen(ctx, Sighting{ID: "rich", Name: "Rich", Version: "1.2", Transport: TransportOpAMP, Attributes: map[string]string{"env": "prod"},
			Effective: map[string][]byte{"local": []byte("a: 1")}, Components: []string{"receiver/otlp"}, Healthy: &healthy, HealthText: "fine"})
		require.NoError(t, err)
		require.NoError(t, b.Activate(ctx, "ann", "off", time.Hour))
		require.NoError(t, b.Pause(ctx, "ann", "s"))

		// What is in the file at this moment is what a kill leaves.
		pipelines, actions := b.Pipelines(), b.actions()
		rich, err := b.Collector("rich")
		require.NoError(t, err)
		killed := filepath.Join(t.TempDir(), "killed.db")
		content, err := os.ReadFile(b.settings.StateFile)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(killed, content, 0o600))
		b.close()
		b.settings.StateFile = killed
		b.reopen()
		defer b.close()
		require.Equal(t, pipelines, b.Pipelines())
		require.Equal(t, actions, b.actions())
		reloaded, err := b.Collector("rich")
		require.NoError(t, err)
		require.Equal(t, rich, reloaded)
		require.Equal(t, map[string]string{"local": "a: 1"}, reloaded.Details.Effective)
		require.Equal(t, []string{"receiver/otlp"}, reloaded.Details.Components)
		require.NotZero(t, g.with("s", "2"))
		require.Equal(t, 10, b.pipeline("s").Percent)
	})
}

func TestStateThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{"a": body("1")})
		wait(5 * time.Second)
		require.NoError(t, b.saver.file.Close()) // as good as a full disk
		require.Equal(t, "1", b.collector("c").runs("a"))
		err := b.Deactivate(t.Context(), "ann", "a", 0)
		require.ErrorContains(t, err, "the change is in force, but could not be saved")
		require.Empty(t, b.collector("c").runs("a"))
		require.ErrorContains(t, b.summaryError(), "the state is not saved")
		require.NotZero(t, b.Summary().SaveErrors)
		var openErr error
		b.mu.Lock()
		b.saver.file, openErr = store.Open(b.settings.StateFile) // room again
		b.mu.Unlock()
		require.NoError(t, openErr)
		wait(2 * time.Second)
		require.NoError(t, b.summaryError())
		b.close()
		b.reopen()
		defer b.close()
		require.False(t, b.pipeline("a").Active)
		require.Contains(t, b.actions(), "ann deactivated a until told otherwise")
	})
}

func TestDamagedStateIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{"a": body("1")})
		for _, c := range b.group(200) {
			c.poll()
		}
		b.close()
		content, err := os.ReadFile(b.settings.StateFile)
		require.NoError(t, err)
		refused := 0
		for offset := 2 * 4096; offset < len(content); offset += 4096 {
			damaged := append([]byte(nil), content...)
			for i := offset; i < offset+64; i++ {
				damaged[i] = 0xa5
			}
			require.NoError(t, os.WriteFile(b.settings.StateFile, damaged, 0o600))
			f, err := Open(b.settings)
			if err != nil {
				require.ErrorContains(t, err, "state "+b.settings.StateFile)
				refused++
				continue
			}
			_ = f.Close() // a page that is not read at the start, or not in use
		}
		require.NotZero(t, refused)
	})
}
