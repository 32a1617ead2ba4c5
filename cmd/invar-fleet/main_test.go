package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

// TestMain runs invar-fleet if an environment variable is set, for tests that kill the
// process.
func TestMain(m *testing.M) {
	if os.Getenv("INVAR_FLEET_TEST_MAIN") != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// process is a running invar-fleet.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], append([]string{"--listen", "127.0.0.1:0"}, args...)...)}
	p.cmd.Env = append(os.Environ(), "INVAR_FLEET_TEST_MAIN=1")
	out, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	lines := bufio.NewScanner(out)
	url := regexp.MustCompile(`"url": "([^"]+)"`)
	var log strings.Builder
	for p.url == "" && lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if found := url.FindStringSubmatch(lines.Text()); found != nil {
			p.url = found[1]
		}
	}
	require.NotEmpty(t, p.url, log.String())
	go func() { _, _ = io.Copy(io.Discard, out) }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

func (p *process) do(method, path, body string) string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	require.NoError(p.t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	require.NoError(p.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, answer.StatusCode, string(text))
	return string(text)
}

const file = "rollout: {stages: [1, 100], wait: 1h}\nconfig:\n  receivers: {otlp: {x: %d}}\n  exporters: {debug: }\n" +
	"  service: {pipelines: {metrics: {receivers: [otlp], exporters: [debug]}}}\n"

func TestKilledProcessResumes(t *testing.T) {
	folder, state := t.TempDir(), filepath.Join(t.TempDir(), "fleet.db")
	args := []string{"--pipelines", folder, "--state", state}
	p := start(t, args...)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	report := func(hash string) *collectorv1.GetConfigResponse {
		t.Helper()
		client := collectorv1.NewClient(&http.Client{Transport: transport}, p.url)
		answer, err := client.GetConfig(t.Context(), connect.NewRequest(&collectorv1.GetConfigRequest{
			Id: "c", Hash: hash, LocalAttributes: map[string]string{"env": "prod"},
			RemoteConfigStatus: &collectorv1.RemoteConfigStatus{Status: collectorv1.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED},
		}))
		require.NoError(t, err)
		return answer.Msg
	}
	report("")
	for i := range 5 { // every action that was answered is there after the kill
		p.do("PUT", "/api/v1/pipelines/shop", fmt.Sprintf(file, i))
		p.do("POST", "/api/v1/pipelines/shop/promote", "")
		given := report("")
		require.Contains(t, given.GetContent(), fmt.Sprintf("x: %d", i))
		report(given.GetHash())
		p.do("POST", "/api/v1/pipelines/shop/pause", "")
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGKILL))
		_ = p.cmd.Wait()
		p = start(t, args...)
		require.Contains(t, p.do("GET", "/api/v1/pipelines/shop", ""), fmt.Sprintf(`"rollout":{"revision":%d,"stages":[1,100],"stage":1,"percent":100,"state":"paused"`, i+1))
		require.Contains(t, p.do("GET", "/api/v1/collectors/c", ""), fmt.Sprintf(`"hash":%q`, given.GetHash()))
		require.True(t, report(given.GetHash()).GetNotModified())
		require.Contains(t, p.do("GET", "/api/v1/audit?limit=1", ""), `"action":"paused"`)
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.cmd.Wait()) // status 0
	require.FileExists(t, filepath.Join(folder, "shop.yaml"))
}

func TestGRPCWithoutTLS(t *testing.T) {
	p := start(t, "--pipelines", t.TempDir(), "--state", filepath.Join(t.TempDir(), "fleet.db"))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	client := collectorv1.NewClient(&http.Client{Transport: transport}, p.url, connect.WithGRPC())
	answer, err := client.GetConfig(t.Context(), connect.NewRequest(&collectorv1.GetConfigRequest{Id: "c"}))
	require.NoError(t, err)
	require.True(t, answer.Msg.GetNotModified())
	require.Contains(t, p.do("GET", "/", ""), "<html")
	require.Contains(t, p.do("GET", "/api/v1/collectors/c", ""), `"transport":"connect"`)
}

func TestFlags(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		cmd := newCommand()
		cmd.SetArgs(args)
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		require.ErrorContains(t, cmd.ExecuteContext(t.Context()), want)
	}
	folder := t.TempDir()
	ok := []string{"--pipelines", folder, "--state", filepath.Join(folder, "db")}
	f("--pipelines is missing")
	f("--state is missing", "--pipelines", folder)
	f("--listen: \"x\" is not an address", append(ok, "--listen", "x")...)
	f("is not on loopback; give --token-file", append(ok, "--listen", ":0")...)
	f("is not on loopback; give --token-file", append(ok, "--listen", "10.1.2.3:0")...)
	f("give both or none", append(ok, "--tls-cert", "x")...)
	f("--client-ca needs --tls-cert", append(ok, "--client-ca", "x")...)
	f("--poll-interval: 1ms is too short", append(ok, "--poll-interval", "1ms")...)
	f("--forget-after: 1s is too short", append(ok, "--forget-after", "1s")...)
	f("--max-collectors: 0 is too few", append(ok, "--max-collectors", "0")...)
	f(`--log.level: "loud" is not a level`, append(ok, "--log.level", "loud")...)
	f("token file: stat", append(ok, "--token-file", filepath.Join(folder, "none"))...)
	f("TLS: stat", append(ok, "--tls-cert", filepath.Join(folder, "none"), "--tls-key", "none")...)
	f("pipelines: stat", "--pipelines", filepath.Join(folder, "none"), "--state", filepath.Join(folder, "db"))
	f("unknown command", "x")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	f("address already in use", append(ok, "--listen", taken.Addr().String())...)
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{t, key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) sign(serial int64) (cert, key []byte) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	require.NoError(a.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestCertificates(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	ca, clients := newAuthority(t), newAuthority(t)
	cert, key := ca.sign(2)
	o := options{tlsCert: write("cert", cert), tlsKey: write("key", key), clientCA: write("ca", clients.pem)}
	c, err := readCertificates(o, zap.NewNop())
	require.NoError(t, err)
	server := newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Proto) }), zap.NewNop())
	server.TLSConfig = c.config()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	defer func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	}()

	get := func(with *authority) (serial int64, proto string, err error) {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.pem)
		config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		if with != nil {
			certPEM, keyPEM := with.sign(9)
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			require.NoError(t, err)
			config.Certificates = []tls.Certificate{pair}
		}
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+listener.Addr().String(), nil)
		require.NoError(t, err)
		answer, err := transport.RoundTrip(r)
		if err != nil {
			return 0, "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return answer.TLS.PeerCertificates[0].SerialNumber.Int64(), string(text), err
	}
	serial, proto, err := get(clients)
	require.NoError(t, err)
	require.Equal(t, int64(2), serial)
	require.Equal(t, "HTTP/2.0", proto)
	_, _, err = get(nil)
	require.Error(t, err)
	_, _, err = get(ca)
	require.Error(t, err)

	expire := func() {
		c.mu.Lock()
		c.checked = time.Time{}
		c.mu.Unlock()
	}
	cert, key = ca.sign(3)
	write("cert", cert)
	require.NoError(t, os.Chtimes(o.tlsCert, time.Now(), time.Now().Add(time.Second)))
	expire()
	serial, _, err = get(clients)
	require.NoError(t, err)
	require.Equal(t, int64(2), serial) // the key is not there yet
	write("key", key)
	require.NoError(t, os.Chtimes(o.tlsKey, time.Now(), time.Now().Add(time.Second)))
	expire()
	serial, _, err = get(clients)
	require.NoError(t, err)
	require.Equal(t, int64(3), serial)
	write("ca", []byte("nothing"))
	require.NoError(t, os.Chtimes(o.clientCA, time.Now(), time.Now().Add(time.Second)))
	_, err = readCertificates(o, zap.NewNop())
	require.ErrorContains(t, err, "has no certificate in PEM")
}

func TestServeEndsWithItsContext(t *testing.T) {
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := newCommand()
	cmd.SetArgs([]string{"--pipelines", folder, "--state", filepath.Join(folder, "db"), "--listen", "127.0.0.1:0", "--log.level", "error"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	cancel()
	require.NoError(t, <-ended)
}
