package store

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openTestStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "fleet.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestAuditIsBounded(t *testing.T) {
	s := openTestStore(t)
	for range 3 {
		change := NewChange()
		for i := range 4000 {
			require.NoError(t, change.AppendAudit(AuditEntry{Object: fmt.Sprint(i)}))
		}
		require.NoError(t, s.Write(change))
	}
	got, err := s.Audit(100_000)
	require.NoError(t, err)
	require.Len(t, got, KeptAudit)
	require.Equal(t, "3999", got[0].Object)
}

// The file is read by later versions: what is in it is fixed by its text.
func TestFormat(t *testing.T) {
	s := openTestStore(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	healthy := true
	change := NewChange()
	_, err := change.PutCollector(&Collector{
		ID: "c", Name: "n", Version: "1", Transport: "opamp", Address: "a:1", Attributes: map[string]string{"env": "prod"},
		FirstSeen: at, LastSeen: at, Hash: "h", Status: remoteconf.StatusFailed, Error: "e", Healthy: &healthy, HealthText: "fine", Gone: true, Token: "t",
	})
	require.NoError(t, err)
	require.NoError(t, change.PutPipeline("p", &Pipeline{
		Stable: 1, Last: 2, FileTag: "tag", RemovedAt: at, Forced: &Override{Active: true, Until: at},
		Rollout: rollout.Rollout{Revision: 2, State: rollout.Halted, Reason: "r", Stage: 1, Since: at, AppliedSince: at, Canary: "c", Failed: []string{"c"}},
	}, nil))
	require.NoError(t, change.AppendAudit(AuditEntry{Time: at, Actor: "ann", Action: "paused", Object: "p", Details: "d"}))
	require.NoError(t, s.Write(change))
	f := func(bucket string, key []byte, want string) {
		t.Helper()
		require.NoError(t, s.view(func(tx *bbolt.Tx) error {
			require.JSONEq(t, want, string(tx.Bucket([]byte(bucket)).Get(key)))
			return nil
		}))
	}
	f("collectors", []byte("c"), `{"id":"c","name":"n","version":"1","transport":"opamp","address":"a:1","attributes":{"env":"prod"},
		"first_seen":"2026-01-02T03:04:05Z","last_seen":"2026-01-02T03:04:05Z","hash":"h","status":3,"error":"e","healthy":true,"health":"fine","gone":true,"token":"t"}`)
	f("pipelines", []byte("p"), `{"stable":1,"last":2,"file_tag":"tag","removed_at":"2026-01-02T03:04:05Z","forced":{"active":true,"until":"2026-01-02T03:04:05Z"},
		"rollout":{"revision":2,"state":"halted","reason":"r","stage":1,"since":"2026-01-02T03:04:05Z","applied_since":"2026-01-02T03:04:05Z","canary":"c","failed":["c"]}}`)
	f("audit", []byte{0, 0, 0, 0, 0, 0, 0, 1}, `{"time":"2026-01-02T03:04:05Z","actor":"ann","action":"paused","object":"p","details":"d"}`)
}

func TestWriteAndLoad(t *testing.T) {
	s := openTestStore(t)
	change := NewChange()
	size, err := change.PutCollector(&Collector{ID: "c"})
	require.NoError(t, err)
	details := Details{Effective: map[string]string{"a": "x: 1"}, Components: []string{"receiver/otlp"}}
	effective, err := Pack(details.Effective)
	require.NoError(t, err)
	components, err := Pack(details.Components)
	require.NoError(t, err)
	change.PutDetail(Effective, "c", effective)
	change.PutDetail(Components, "c", components)
	for number := range uint64(3) {
		require.NoError(t, change.PutRevision("p", &Revision{Number: number, Content: fmt.Sprint("r", number)}))
		require.NoError(t, change.PutRevision("p2", &Revision{Number: number}))
	}
	require.NoError(t, change.PutPipeline("p", &Pipeline{Last: 2}, map[uint64]bool{1: true, 2: true}))
	require.NoError(t, change.PutPipeline("p2", &Pipeline{Last: 7}, map[uint64]bool{0: true, 1: true, 2: true}))
	require.Positive(t, change.Size())
	require.NoError(t, s.Write(change))

	type loaded struct {
		collectors map[string]int
		details    map[Detail]int
		numbers    map[string][]uint64
	}
	load := func() loaded {
		t.Helper()
		l := loaded{map[string]int{}, map[Detail]int{}, map[string][]uint64{}}
		require.NoError(t, s.Load(Loader{
			Collector: func(r Collector, size int) { l.collectors[r.ID] = size },
			Detail:    func(d Detail, id string, size int) { require.Equal(t, "c", id); l.details[d] = size },
			Pipeline: func(name string, _ Pipeline, revisions []Revision) {
				l.numbers[name] = nil
				for _, r := range revisions {
					l.numbers[name] = append(l.numbers[name], r.Number)
				}
			},
		}))
		return l
	}
	require.Equal(t, loaded{
		map[string]int{"c": size},
		map[Detail]int{Effective: 1 + len(effective), Components: 1 + len(components)},
		map[string][]uint64{"p": {1, 2}, "p2": {0, 1, 2}},
	}, load())
	got, err := s.Details("c")
	require.NoError(t, err)
	require.Equal(t, details, got)

	change = NewChange()
	change.DeleteDetail(Components, "c")
	change.DeletePipeline("p2")
	require.NoError(t, s.Write(change))
	require.Equal(t, loaded{
		map[string]int{"c": size}, map[Detail]int{Effective: 1 + len(effective)}, map[string][]uint64{"p": {1, 2}},
	}, load())
	change = NewChange()
	change.DeleteCollector("c")
	require.NoError(t, s.Write(change))
	require.Empty(t, load().collectors)
	got, err = s.Details("c")
	require.NoError(t, err)
	require.Equal(t, Details{}, got)
}
