//go:build linux && (amd64 || arm64)

package executables

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadMapping(t *testing.T) {
	f := func(line, addresses, path string) {
		t.Helper()
		m, ok := readMapping(line)
		assert.Equal(t, path != "", ok)
		assert.Equal(t, path, m.path)
		if ok {
			assert.Equal(t, addresses, m.addresses())
		}
	}
	const spaces = "                   "
	f("7f2c8a028000-7f2c8a1bd000 r-xp 00028000 fd:01 8650793"+spaces+"/usr/lib/libc.so.6", "7f2c8a028000-7f2c8a1bd000", "/usr/lib/libc.so.6")
	f("00400000-0049c000 r-xp 00000000 fd:01 8650793"+spaces+"/usr/bin/app", "400000-49c000", "/usr/bin/app")
	f("00400000-0049c000 r-xp 00000000 fd:01 8650793 /usr/bin/app", "400000-49c000", "/usr/bin/app")
	f("00400000-0049c000 --xs 00000000 00:00 1"+spaces+"/app (deleted)", "400000-49c000", "/app")
	f("00400000-0049c000 r-xp 00000000 00:00 1"+spaces+"/app (deleted) (deleted)", "400000-49c000", "/app (deleted)")
	f("00400000-0049c000 r-xp 00000000 00:00 1"+spaces+"/with some/spaces  in it", "400000-49c000", "/with some/spaces  in it")
	f("00400000-0049c000 r-xp 00000000 00:00 1"+spaces+`/line\012feed`, "400000-49c000", `/line\012feed`)
	f("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0"+spaces+"[vsyscall]", "", "")
	f("7ffd1b5f2000-7ffd1b5f4000 r-xp 00000000 00:00 0"+spaces+"[vdso]", "", "")
	f("7f2c8a028000-7f2c8a1bd000 r-xp 00000000 00:00 0"+spaces+"[anon:/usr/lib/libc.so.6]", "", "")
	f("7f2c8a028000-7f2c8a1bd000 r-xp 00000000 00:00 0", "", "")
	f("7f2c8a028000-7f2c8a1bd000 r--p 00028000 fd:01 8650793"+spaces+"/usr/lib/libc.so.6", "", "")
	f("7f2c8a028000-7f2c8a1bd000 rw-p 00028000 fd:01 8650793"+spaces+"/x/x/x", "", "")
	f("7f2c8a028000 r-xp 00028000 fd:01 8650793"+spaces+"/usr/lib/libc.so.6", "", "")
	f("../../etc-0 r-xp 00028000 fd:01 8650793"+spaces+"/usr/lib/libc.so.6", "", "")
	f("0-../../etc r-xp 00028000 fd:01 8650793"+spaces+"/usr/lib/libc.so.6", "", "")
	f("", "", "")
}

// Every mapping in this process' maps exists in its map_files.
func TestOwnMappings(t *testing.T) {
	maps, err := os.Open("/proc/self/maps")
	require.NoError(t, err)
	defer maps.Close()
	found := 0
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		m, ok := readMapping(lines.Text())
		if !ok {
			continue
		}
		found++
		path, err := os.Readlink(filepath.Join("/proc/self/map_files", m.addresses()))
		require.NoError(t, err, lines.Text())
		assert.Equal(t, m.path, strings.TrimSuffix(path, deleted))
	}
	assert.Positive(t, found)
}

func FuzzReadMapping(f *testing.F) {
	f.Add("00400000-0049c000 r-xp 00000000 fd:01 8650793                     /usr/bin/app (deleted)")
	f.Add("7ffd1b5f2000-7ffd1b5f4000 r-xp 00000000 00:00 0                   [vdso]")
	f.Add("0-../../etc r-xp 00028000 fd:01 8650793 /usr/lib/libc.so.6")
	f.Fuzz(func(t *testing.T, line string) {
		m, ok := readMapping(line)
		if !ok {
			return
		}
		assert.True(t, strings.HasPrefix(m.path, "/"))
		assert.Contains(t, line, m.path)
		assert.Empty(t, strings.Trim(m.addresses(), "0123456789abcdef-"), "a name in a folder, and no way out of it")
	})
}
