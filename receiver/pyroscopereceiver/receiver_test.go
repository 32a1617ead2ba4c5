package pyroscopereceiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/receiver/xreceiver"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/metadata"
)

// pipeline is the consumer behind the receiver.
type pipeline struct {
	err    error
	got    []pprofile.Profiles
	tenant []string
}

func (*pipeline) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (p *pipeline) ConsumeProfiles(ctx context.Context, pd pprofile.Profiles) error {
	if p.err != nil {
		return p.err
	}
	p.got = append(p.got, pd)
	p.tenant = client.FromContext(ctx).Metadata.Get("X-Scope-OrgID")
	return nil
}

// received is a profile as the pipeline got it.
type received struct {
	name       string
	attributes map[string]any
	pprof      *profile.Profile
}

// read turns what the pipeline got back into pprof, as the exporter does.
func (p *pipeline) read(t testing.TB) []received {
	t.Helper()
	var all []received
	for _, pd := range p.got {
		all = append(all, read(t, pd)...)
	}
	return all
}

// read reads the profiles of a message.
func read(t testing.TB, pd pprofile.Profiles) []received {
	t.Helper()
	var all []received
	for _, rp := range pd.ResourceProfiles().All() {
		all = append(all, readOne(t, pd.Dictionary(), rp))
	}
	return all
}

func readOne(t testing.TB, dict pprofile.ProfilesDictionary, rp pprofile.ResourceProfiles) received {
	t.Helper()
	require.Equal(t, 1, rp.ScopeProfiles().Len())
	sp := rp.ScopeProfiles().At(0)
	require.Positive(t, sp.Profiles().Len())
	kind, err := pprofconv.KindOf(dict, sp.Profiles().At(0))
	require.NoError(t, err)
	m := pprofconv.NewMessage(dict, kind, pprofconv.Options{})
	for _, p := range sp.Profiles().All() {
		_, err := m.Add(p)
		require.NoError(t, err)
	}
	parsed, err := profile.ParseUncompressed(m.Append(nil))
	require.NoError(t, err)
	require.NoError(t, parsed.CheckValid())
	return received{pprofconv.Name(dict, sp), rp.Resource().Attributes().AsRaw(), parsed}
}

// stacks returns the values of a profile by stack, outermost function first.
func (p received) stacks() map[string][]int64 {
	all := map[string][]int64{}
	for _, s := range p.pprof.Sample {
		var names []string
		for _, l := range s.Location {
			for _, line := range l.Line {
				names = append([]string{line.Function.Name}, names...)
			}
		}
		all[strings.Join(names, ";")] = s.Value
	}
	return all
}

// types returns the sample types of a profile.
func (p received) types() string {
	var all []string
	for _, t := range p.pprof.SampleType {
		all = append(all, t.Type+"/"+t.Unit)
	}
	return strings.Join(all, " ")
}

// freeAddr returns a loopback address that nothing listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// create creates a receiver with a free address. http adds keys to its protocol,
// like "tls: {…}", and may be empty.
func create(t testing.TB, config, http string, next xconsumer.Profiles) (xreceiver.Profiles, string) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	addr := freeAddr(t)
	require.NoError(t, configtest.Parse(t, "protocols: {http: {endpoint: "+addr+", max_request_body_size: 200000, "+http+"}}\n"+config, cfg))
	r, err := NewFactory().(xreceiver.Factory).CreateProfiles(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	return r, addr
}

// start runs a receiver.
func start(t testing.TB, config string, next xconsumer.Profiles) (addr string) {
	t.Helper()
	return startWith(t, config, "", next)
}

func startWith(t testing.TB, config, http string, next xconsumer.Profiles) (addr string) {
	t.Helper()
	r, addr := create(t, config, http, next)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		closeIdle()
		require.NoError(t, r.Shutdown(context.Background()))
	})
	return addr
}

func closeIdle() { http.DefaultClient.CloseIdleConnections() }

func post(t testing.TB, url string, header map[string]string, body []byte) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, strings.TrimSpace(string(answer)), resp.Header
}

func zipped(t testing.TB, body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// form returns a form like those of pyroscope-go.
func form(t testing.TB, parts map[string][]byte) (body []byte, content string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, data := range parts {
		part, err := w.CreateFormFile(name, name)
		require.NoError(t, err)
		_, err = part.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes(), w.FormDataContentType()
}

func TestPipelineRefuses(t *testing.T) {
	p := &pipeline{}
	addr := start(t, "", p)
	f := func(err error, want int, answer, retry string) {
		t.Helper()
		p.err = err
		status, got, header := post(t, "http://"+addr+"/ingest?name=shop.cpu", nil, []byte("main;pay 1"))
		require.Equal(t, want, status)
		require.Contains(t, got, answer)
		require.Equal(t, retry, header.Get("Retry-After"))
	}
	f(errors.New("queue is full"), http.StatusServiceUnavailable, "the profiles cannot be taken now: queue is full", "1")
	f(consumererror.NewPermanent(errors.New("never")), http.StatusBadRequest, "never", "")
	f(nil, http.StatusOK, "", "")
}

func TestConfig(t *testing.T) {
	parse := func(text string) (*Config, error) {
		cfg := createDefaultConfig().(*Config)
		return cfg, configtest.Parse(t, text, cfg)
	}
	cfg, err := parse("protocols: {http: }")
	require.NoError(t, err)
	require.Equal(t, "localhost:4040", cfg.Protocols.HTTP.Get().NetAddr.Endpoint)
	require.True(t, cfg.Protocols.HTTP.Get().IncludeMetadata)
	require.EqualValues(t, 16<<20, cfg.MaxProfileSize)
	cfg, err = parse("protocols: {http: {endpoint: 0.0.0.0:4041}}\nmax_profile_size: 4MiB")
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:4041", cfg.Protocols.HTTP.Get().NetAddr.Endpoint)
	require.EqualValues(t, 4<<20, cfg.MaxProfileSize)

	wrong := func(text, want string) {
		t.Helper()
		_, err := parse(text)
		require.ErrorContains(t, err, want)
	}
	wrong("max_profile_size: 4MiB", "protocols: has no http; write it like")
	wrong("protocols: {http: }\nmax_profile_size: 0", `max_profile_size: "0B" is not above 0; write it like 16MiB`)
	wrong("protocols: {http: }\nmax_profile_size: 2GiB", `max_profile_size: "2GiB" is more than 1GiB; write it like 16MiB`)
	wrong("protocols: {http: }\nmax_profile_size: 4 MB", `"4 MB" is not a size`)
	wrong("protocols: {http: {endpoints: x}}", "endpoints")
	wrong("protocols: {grpc: }", "grpc")
}

func TestShutdownWithoutStart(t *testing.T) {
	r, _ := create(t, "", "", &pipeline{})
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestAddressInUse(t *testing.T) {
	addr := start(t, "", &pipeline{})
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, configtest.Parse(t, "protocols: {http: {endpoint: "+addr+"}}", cfg))
	r, err := NewFactory().(xreceiver.Factory).CreateProfiles(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, &pipeline{})
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), addr)
	require.NoError(t, r.Shutdown(t.Context()))
}

// TestShutdownWaits stops the receiver while the pipeline accepts a profile, and
// once more while the pipeline blocks longer than the context allows.
func TestShutdownWaits(t *testing.T) {
	f := func(answer bool) {
		taking, answered := make(chan struct{}), make(chan struct{})
		next, err := xconsumer.NewProfiles(func(ctx context.Context, _ pprofile.Profiles) error {
			close(taking)
			select {
			case <-answered:
			case <-ctx.Done():
			}
			return nil
		})
		require.NoError(t, err)
		r, addr := create(t, "", "", next)
		require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
		sent := make(chan error)
		go func() {
			resp, err := http.Post("http://"+addr+"/ingest?name=shop.cpu", "", strings.NewReader("main;pay 1"))
			if err == nil {
				_ = resp.Body.Close()
			}
			sent <- err
		}()
		<-taking
		ctx, cancel := context.WithCancel(t.Context())
		if answer {
			close(answered)
			require.NoError(t, <-sent)
		} else {
			cancel()
		}
		err = r.Shutdown(ctx)
		if answer {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, context.Canceled)
			require.Error(t, <-sent)
		}
		cancel()
		http.DefaultClient.CloseIdleConnections()
	}
	f(true)
	f(false)
}
