package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// recipe is a configuration of docs/logs.md, found by its heading. It runs unchanged
// except for its tenant and faster batches.
type recipe struct {
	t       *testing.T
	loki    *harness.LokiServer
	options harness.Options
	tenant  string
	invar   *harness.Process
}

// section returns the first YAML block below a heading of a document.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(t), doc))
	require.NoError(t, err)
	_, below, found := strings.Cut(string(text), "\n"+heading+"\n")
	require.True(t, found, "%s has no %q", doc, heading)
	block := yamlBlock.FindStringSubmatch(below)
	require.NotNil(t, block)
	return block[1]
}

func startRecipe(t *testing.T, loki *harness.LokiServer, heading string, env map[string]string) *recipe {
	t.Helper()
	tenant := strings.ToLower(regexp.MustCompile(`\W+`).ReplaceAllString(t.Name(), "-"))
	env = maps.Clone(env)
	env["LOKI"], env["STATE_DIR"] = loki.URL, t.TempDir()
	r := &recipe{t: t, loki: loki, tenant: tenant, options: harness.Options{
		Config: section(t, "docs/logs.md", heading),
		Args: []string{
			"--feature-gates=stanza.synchronousLogEmitter",
			"--config", "yaml:exporters::loki::tenant::value: " + tenant,
			"--config", "yaml:exporters::loki::sending_queue::batch::flush_timeout: 100ms",
		},
		Env: env,
	}}
	r.invar = harness.Invar(t, r.options)
	return r
}

// restart stops the collector and starts it again with the same state.
func (r *recipe) restart() {
	r.t.Helper()
	require.NoError(r.t, r.invar.Stop())
	r.invar = harness.Invar(r.t, r.options)
}

func (r *recipe) entries(logql string, n int) []harness.LokiEntry {
	r.t.Helper()
	return entriesOf(r.t, r.loki, r.tenant, logql, n)
}

func write(t *testing.T, path string, lines ...string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	for _, line := range lines {
		_, err = f.WriteString(line + "\n")
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
}

// TestLogRecipes runs every configuration of docs/logs.md.
func TestLogRecipes(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, nil)
	now := time.Now().UTC().Truncate(time.Second)
	stamp := func(i int) string {
		return now.Add(time.Duration(i) * time.Millisecond).Format("2006-01-02T15:04:05.000000000Z")
	}

	t.Run("pods", func(t *testing.T) {
		dir := t.TempDir()
		pod := filepath.Join(dir, "shop_checkout-0_8c9c3ab4-4b2d-4c0e-9a55-9d5b1c5f9e10", "server")
		current := filepath.Join(pod, "3.log")
		cri := func(i int, stream, flag, text string) string {
			return fmt.Sprintf("%s %s %s %s", stamp(i), stream, flag, text)
		}
		write(t, current,
			cri(1, "stdout", "F", `level=info msg="first of this file, and long enough that its fingerprint differs"`),
			cri(2, "stdout", "P", "a long "), cri(3, "stdout", "P", "line in "), cri(4, "stdout", "F", "three parts"),
			cri(5, "stderr", "F", "java.lang.IllegalStateException: no"), cri(6, "stdout", "F", "between"),
			cri(7, "stderr", "F", "\tat shop.Cart.add(Cart.java:7)"), cri(8, "stderr", "F", "Caused by: java.io.IOException"), cri(9, "stderr", "F", "\t... 3 more"),
			// Parts of both streams, interleaved.
			cri(10, "stderr", "P", "err "), cri(11, "stdout", "P", "out "), cri(12, "stderr", "P", "of "), cri(13, "stdout", "F", "one"),
			cri(14, "stdout", "P", "out"), cri(15, "stderr", "F", "two"), cri(16, "stdout", "P", " "), cri(17, "stdout", "P", ""), cri(18, "stderr", "P", "err of "),
			cri(19, "stdout", "F", "three"), cri(20, "stderr", "F", "four"),
			// A line that is equal to one of the other stream.
			cri(21, "stdout", "F", stamp(21)+" stderr F quoted"), cri(22, "stderr", "P", stamp(22)+" stdout P quoted "), cri(23, "stdout", "F", "plain"), cri(24, "stderr", "F", "too"),
			cri(25, "stderr", "F", "last"))
		r := startRecipe(t, loki, "## Kubernetes pods", map[string]string{"POD_LOGS": dir})
		out := r.entries(`{namespace="shop", container="server", stream="stdout"} | k8s_pod_name="checkout-0"`, 7)
		require.Equal(t, []string{"a long line in three parts", "between", "out one", "out three", stamp(21) + " stderr F quoted", "plain"}, linesOf(out[1:]))
		require.Equal(t, map[string]string{"namespace": "shop", "container": "server", "stream": "stdout", "service_name": "server"}, out[0].Labels)
		require.Equal(t, map[string]string{
			"k8s_pod_name": "checkout-0", "k8s_pod_uid": "8c9c3ab4-4b2d-4c0e-9a55-9d5b1c5f9e10", "k8s_container_restart_count": "3", "detected_level": "info",
		}, out[0].Metadata)
		require.Equal(t, stamp(1), out[0].Timestamp.UTC().Format("2006-01-02T15:04:05.000000000Z"))
		require.Equal(t, []string{
			"java.lang.IllegalStateException: no\n\tat shop.Cart.add(Cart.java:7)\nCaused by: java.io.IOException\n\t... 3 more",
			"err of two", "err of four", stamp(22) + " stdout P quoted too", "last",
		}, linesOf(r.entries(`{stream="stderr"}`, 5)))

		// The kubelet rotates while Invar is down.
		require.NoError(t, r.invar.Stop())
		write(t, current, cri(40, "stdout", "F", "end of the old file"))
		require.NoError(t, os.Rename(current, current+".20261121-101112"))
		write(t, current, cri(41, "stdout", "F", "the new file begins, again with a line that is long enough to be told from others"))
		r.invar = harness.Invar(t, r.options)
		r.entries(`{stream="stdout"}`, 9)
		// The file is copied and truncated.
		text, err := os.ReadFile(current)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(current+".1", text, 0o600))
		require.NoError(t, os.Truncate(current, 0))
		time.Sleep(500 * time.Millisecond) // two polls see the empty file
		write(t, current, cri(50, "stdout", "F", "after the truncation, once more with a line that is longer than the one that was there before it"))
		out = r.entries(`{stream="stdout"}`, 10)
		require.Contains(t, out[9].Line, "after the truncation")
		r.restart()
		write(t, current, cri(51, "stdout", "F", "after a restart"))
		r.entries(`{stream="stdout"}`, 11)
		require.NoError(t, r.invar.Stop())
	})

	t.Run("files", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "app.log")
		write(t, path, stamp(1)+" INFO started", stamp(2)+" ERROR failed", "  at main.go:7", "  at run.go:9", stamp(3)+" odd")
		r := startRecipe(t, loki, "## Plain files", map[string]string{"APP_LOGS": dir})
		e := r.entries(`{service_name="app", filename="app.log"} | detected_level="error"`, 1)[0]
		require.Equal(t, stamp(2)+" ERROR failed\n  at main.go:7\n  at run.go:9", e.Line)
		require.Equal(t, "ERROR", e.Metadata["severity_text"])
		require.Equal(t, now.Add(2*time.Millisecond), e.Timestamp.UTC())
		write(t, path, stamp(4)+" WARN after", stamp(5)+" INFO more", "", "  \x1b[31mred\x1b[0m", stamp(6)+" WARNING caf\xe9 \x00", stamp(7)+" odd")
		r.restart()
		got := r.entries(`{service_name="app"}`, 7)
		require.Equal(t, stamp(5)+" INFO more\n\n  \x1b[31mred\x1b[0m", got[4].Line)
		require.Equal(t, stamp(6)+" WARNING caf\uFFFD \x00", got[5].Line)
		require.Equal(t, "warn", got[5].Metadata["detected_level"])
		require.NoError(t, r.invar.Stop())
	})

	t.Run("journal", func(t *testing.T) {
		dir, send := journal(t)
		send("PRIORITY=6\nSYSLOG_IDENTIFIER=demo\nMESSAGE=started\n")
		send("PRIORITY=4\nSYSLOG_IDENTIFIER=demo\nMESSAGE=disk is filling up\n")
		r := startRecipe(t, loki, "## systemd's journal", map[string]string{"JOURNAL": dir})
		e := r.entries(`{service_name="demo"} | detected_level="warn"`, 1)[0]
		require.Equal(t, "disk is filling up", e.Line)
		host, err := os.Hostname()
		require.NoError(t, err)
		require.Equal(t, host, e.Labels["host"])
		require.Equal(t, fmt.Sprint(os.Getpid()), e.Metadata["process_pid"])
		require.WithinDuration(t, time.Now(), e.Timestamp, time.Minute)
		// What real programs write.
		field := func(name, value string) string { // of journald's protocol, for any bytes
			return name + "\n" + string(binary.LittleEndian.AppendUint64(nil, uint64(len(value)))) + value + "\n"
		}
		ugly := []string{
			strings.Repeat("0123456789", 5_000), "\x1b[31mred\x1b[0m and \ttabs", "caf\xe9 \x00 \xff", "several\nlines\n\n", "é\u2028😀",
		}
		for _, message := range ugly {
			send("PRIORITY=6\nSYSLOG_IDENTIFIER=ugly\n" + field("MESSAGE", message))
		}
		got := linesOf(r.entries(`{service_name="ugly"}`, len(ugly)))
		for _, message := range ugly {
			require.True(t, slices.Contains(got, strings.ToValidUTF8(message, "\uFFFD")), "%.60q", message)
		}
		send("PRIORITY=7\nSYSLOG_IDENTIFIER=priority\nMESSAGE=details\n")
		send("SYSLOG_IDENTIFIER=priority\nMESSAGE=none is stated\n")
		require.ElementsMatch(t, []string{"details", "none is stated"}, linesOf(r.entries(`{service_name="priority"}`, 2)))
		require.Equal(t, "details", r.entries(`{service_name="priority"} | detected_level="debug"`, 1)[0].Line)

		require.NoError(t, r.invar.Stop())
		send("PRIORITY=3\nSYSLOG_IDENTIFIER=demo\nMESSAGE=while it was down\n")
		r.invar = harness.Invar(t, r.options)
		got = linesOf(r.entries(`{service_name="demo"}`, 3))
		require.Contains(t, got, "while it was down")
		require.NoError(t, r.invar.Stop())
	})

	t.Run("syslog", func(t *testing.T) {
		tcp, udp := harness.FreeAddr(t), harness.FreeAddr(t)
		r := startRecipe(t, loki, "## syslog", map[string]string{"SYSLOG_TCP": tcp, "SYSLOG_UDP": udp})
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", tcp)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "<165>1 %s web-1 nginx 4711 ID47 [origin ip=\"10.0.0.1\"] request served\n", now.Format(time.RFC3339))
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "<31>1 %s web-2 - - - - caf\xe9 \x1b[31mred\x1b[0m [not structured]\nnot syslog at all\n", now.Format(time.RFC3339))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		packet, err := new(net.Dialer).DialContext(t.Context(), "udp", udp)
		require.NoError(t, err)
		_, err = fmt.Fprintf(packet, "<11>%s db-1 postgres[7]: out of memory", now.Format(time.Stamp))
		require.NoError(t, err)
		require.NoError(t, packet.Close())
		e := r.entries(`{host="web-1", service_name="nginx"}`, 1)[0]
		require.Equal(t, "request served", e.Line)
		require.Equal(t, now, e.Timestamp.UTC())
		require.Equal(t, "4711", e.Metadata["proc_id"])
		require.Equal(t, "ID47", e.Metadata["msg_id"])
		require.Equal(t, "10.0.0.1", e.Metadata["structured_data_origin_ip"])
		require.Equal(t, "info", e.Metadata["detected_level"])
		e = r.entries(`{host="web-2"} | detected_level="debug"`, 1)[0]
		require.Equal(t, "caf\uFFFD \x1b[31mred\x1b[0m [not structured]", e.Line)
		require.Equal(t, "not syslog at all", r.entries(`{service_name="unknown_service", host=""}`, 1)[0].Line)
		e = r.entries(`{host="db-1", service_name="postgres"} | detected_level="error"`, 1)[0]
		require.Equal(t, "out of memory", e.Line)
		require.Equal(t, now, e.Timestamp.UTC())
		require.NoError(t, r.invar.Stop())
	})

	t.Run("docker", func(t *testing.T) {
		dir := t.TempDir()
		id := strings.Repeat("4f5e", 16)
		path := filepath.Join(dir, id, id+"-json.log")
		entry := func(i int, stream, text string) string {
			line, err := json.Marshal(map[string]string{"log": text, "stream": stream, "time": stamp(i)})
			require.NoError(t, err)
			return string(line)
		}
		write(t, path, entry(1, "stdout", "short\n"), entry(2, "stderr", strings.Repeat("x", 16384)), entry(3, "stdout", "between\n"), entry(4, "stderr", "end\n"))
		r := startRecipe(t, loki, "## Docker's json-file", map[string]string{"DOCKER_LOGS": dir})
		e := r.entries(`{job="docker", stream="stderr"} | container_id="`+id+`"`, 1)[0]
		require.Equal(t, strings.Repeat("x", 16384)+"end", e.Line)
		require.Equal(t, now.Add(2*time.Millisecond), e.Timestamp.UTC())
		require.Equal(t, []string{"short", "between"}, linesOf(r.entries(`{stream="stdout"}`, 2)))
		r.restart()
		write(t, path, entry(5, "stdout", "after a restart\n"),
			entry(6, "stdout", strings.Repeat("o", 16384)), entry(7, "stderr", strings.Repeat("e", 16384)), entry(8, "stdout", "ut\n"), entry(9, "stderr", "\x1b[31mrr\n"),
			strings.Replace(entry(10, "stdout", "crlf and \"quotes\"\r\n"), "{", `{"attrs":{"tag":"x"},`, 1))
		require.Equal(t, []string{"after a restart", strings.Repeat("o", 16384) + "ut", "crlf and \"quotes\"\r"}, linesOf(r.entries(`{stream="stdout"}`, 5))[2:])
		require.Equal(t, strings.Repeat("e", 16384)+"\x1b[31mrr", r.entries(`{stream="stderr"}`, 2)[1].Line)
		require.NoError(t, r.invar.Stop())
	})
}

// journal runs a journald with its own namespace. It returns its directory and a function
// that sends a message in journald's native protocol.
func journal(t *testing.T) (dir string, send func(message string)) {
	t.Helper()
	const journald = "/lib/systemd/systemd-journald"
	for _, needed := range []string{journald, "/usr/bin/journalctl", "/etc/machine-id"} {
		if _, err := os.Stat(needed); err != nil {
			t.Skipf("no journal here: %v", err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("a journald of its own needs root")
	}
	machine, err := os.ReadFile("/etc/machine-id")
	require.NoError(t, err)
	namespace := fmt.Sprintf("invar%d", os.Getpid())
	dir = filepath.Join("/var/log/journal", strings.TrimSpace(string(machine))+"."+namespace)
	runtime := "/run/systemd/journal." + namespace
	require.NoError(t, os.MkdirAll("/var/log/journal", 0o755))
	cmd := exec.Command(journald, namespace)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
		_ = os.RemoveAll(runtime)
	})
	socket := filepath.Join(runtime, "socket")
	harness.Eventually(t, 10*time.Second, func() error {
		_, err := os.Stat(socket)
		return err
	})
	return dir, func(message string) {
		conn, err := net.Dial("unixgram", socket) //nolint:noctx // it does not wait
		require.NoError(t, err)
		_, err = conn.Write([]byte(message))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
}
