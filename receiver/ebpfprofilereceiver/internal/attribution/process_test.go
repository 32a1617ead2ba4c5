package attribution

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// procfs returns a procfs in which process 42 has these files.
func procfs(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "42"), 0o755))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(root, "42", name), []byte(text), 0o600))
	}
	return root
}

func TestReadProc(t *testing.T) {
	const status = "Name:\tcart\nUmask:\t0022\nUid:\t1000\t33\t1000\t1000\nGid:\t5\t6\t7\t8\n"
	f := func(files map[string]string, commandLine, uid string) {
		t.Helper()
		p := Process{PID: 42, Executable: "/cart"}
		p.ReadProc(procfs(t, files))
		assert.Equal(t, Process{PID: 42, Executable: "/cart", CommandLine: commandLine, UID: uid}, p)
	}
	f(nil, "", "")
	f(map[string]string{"cmdline": "/cart\x00--port\x0080\x00", "status": status}, "/cart --port 80", "33")
	f(map[string]string{"cmdline": "postgres: writer\x00\x00\x00\x00", "status": status}, "postgres: writer", "33")
	f(map[string]string{"cmdline": "", "status": status}, "", "33") // a kernel thread or a zombie
	f(map[string]string{"cmdline": "cart\x00a\xffb\x00"}, "cart ab", "")
	f(map[string]string{"cmdline": strings.Repeat("é", 5000)}, strings.Repeat("é", commandLineLimit/2), "")
	f(map[string]string{"cmdline": "x" + strings.Repeat("é", 5000)}, "x"+strings.Repeat("é", commandLineLimit/2-1), "")
	for _, odd := range []string{"", "Uid:", "Uid:\t1000", "Name:\tcart", "\n\n\n"} {
		f(map[string]string{"status": odd}, "", "")
	}
}

// TestReadOwnCommand reads the kernel's own files.
func TestReadOwnCommand(t *testing.T) {
	p := Process{PID: os.Getpid()}
	p.ReadProc("/proc")
	assert.Equal(t, strings.Join(os.Args, " "), p.CommandLine)
	assert.NotEmpty(t, p.UID)
}

func TestServiceFrom(t *testing.T) {
	f := func(name, attributes, want string) {
		t.Helper()
		assert.Equal(t, want, ServiceFrom(name, attributes))
	}
	f("", "", "")
	f("cart", "service.name=other", "cart")
	f("", "service.name=cart", "cart")
	f("", "a=b, service.name = cart ,c=d", "cart")
	f("", "service.name=a%20b%2Cc%3Dd", "a b,c=d")
	f("", "service.name=a+b", "a+b")
	f("", "service.name=a=b", "a=b")
	f("", "service.name=first,service.name=last", "last")
	f("", "service.namespace=shop", "")
	f("", "service.name", "")
	f("", "service.name=", "")
	f("", "service.name=100%", "")
	f("", "service.name=cart,rate=100%", "")
	f("", "service.name=a%ffb", "ab")
	f("c\xffart", "", "cart")
}

func TestExecutablePath(t *testing.T) {
	assert.Equal(t, "/usr/bin/cart", ExecutablePath("/usr/bin/cart"))
	assert.Equal(t, "/usr/bin/cart", ExecutablePath("/usr/bin/cart (deleted)"))
	assert.Equal(t, "/a\uFFFDb", ExecutablePath("/a\xffb"))
	assert.Empty(t, ExecutablePath(""))
}

func TestName(t *testing.T) {
	assert.Equal(t, "cart", Process{Executable: "/usr/bin/cart", Thread: "other"}.Name())
	assert.Equal(t, "kernel", Process{Thread: "kernel"}.Name())
	assert.Empty(t, Process{}.Name())
}

// FuzzProcess reads data that a process controls.
func FuzzProcess(f *testing.F) {
	f.Add("/cart\x00--port\x0080\x00", "Name:\tcart\nUid:\t1000\t33\t1000\t1000\n", "service.name=a%20b,c=d")
	f.Add("", "Uid:", "service.name=%")
	f.Add("\xff\x00", "Uid:\t\xff \xff", "service.name=%ff")
	f.Fuzz(func(t *testing.T, cmdline, status, attributes string) {
		command, uid, service := commandLine([]byte(cmdline)), effectiveUID(status), ServiceFrom("", attributes)
		for _, text := range []string{command, uid, service} {
			assert.True(t, utf8.ValidString(text), "%q", text)
		}
		assert.NotContains(t, command, "\x00")
		assert.LessOrEqual(t, len(command), len(cmdline))
		assert.Contains(t, status, uid)
		if service != "" {
			assert.Contains(t, attributes, "service.name")
		}
	})
}
