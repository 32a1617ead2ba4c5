package startuppages

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRelease unmaps the pages of the running test binary, whose resident file
// pages must then be fewer, and goes on running from the same pages.
func TestRelease(t *testing.T) {
	before := residentFilePages(t)
	released, err := Release()
	require.NoError(t, err)
	require.Positive(t, released)
	require.Less(t, residentFilePages(t), before)
}

func TestParseSmaps(t *testing.T) {
	const smaps = `00400000-05b4d000 r-xp 00000000 fe:00 10658288                           /opt/my invar
Size:              89396 kB
Rss:               55912 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
05b4d000-0c0a2000 r--p 0574d000 fe:00 10658288                           /opt/my invar
Anonymous:             4 kB
0c0a2000-0c447000 rw-p 0bca2000 fe:00 10658288                           /opt/my invar
Anonymous:           448 kB
c000000000-c001000000 rw-p 00000000 00:00 0
Anonymous:          8000 kB
`
	got, err := parseSmaps(strings.NewReader(smaps))
	require.NoError(t, err)
	require.Equal(t, []mapping{
		{start: 0x400000, end: 0x5b4d000, path: "/opt/my invar"},
		{start: 0x5b4d000, end: 0xc0a2000, path: "/opt/my invar", modified: true},
		{start: 0xc0a2000, end: 0xc447000, path: "/opt/my invar", writable: true, modified: true},
		{start: 0xc000000000, end: 0xc001000000, writable: true, modified: true},
	}, got)
}

func FuzzParseSmaps(f *testing.F) {
	f.Add("00400000-05b4d000 r-xp 00000000 fe:00 1 /bin/x\nAnonymous: 0 kB\n")
	f.Add("Anonymous: 1 kB\n5-4 r 0 0 0\n")
	f.Add("x-y")
	f.Fuzz(func(t *testing.T, text string) {
		mappings, err := parseSmaps(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, m := range mappings {
			if m.end < m.start {
				t.Fatalf("mapping %x-%x from %q", m.start, m.end, text)
			}
		}
	})
}

func residentFilePages(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssFile:"); ok {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			require.NoError(t, err)
			return kb
		}
	}
	t.Fatal("no RssFile in /proc/self/status")
	return 0
}
