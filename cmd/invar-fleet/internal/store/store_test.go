package store

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
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
