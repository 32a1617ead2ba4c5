package opamptransport

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const (
	metricsPipeline = "receivers: {nop: }\nexporters: {nop: }\nservice: {pipelines: {metrics: {receivers: [nop], exporters: [nop]}}}\n"
	logsPipeline    = "receivers: {nop: }\nexporters: {nop: }\nservice: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}\n"
)

// remoteConfig returns a configuration as a server sends it, from names and bodies.
func remoteConfig(hash string, namesAndBodies ...string) *protobufs.AgentRemoteConfig {
	files := map[string]*protobufs.AgentConfigFile{}
	for i := 0; i < len(namesAndBodies); i += 2 {
		files[namesAndBodies[i]] = &protobufs.AgentConfigFile{Body: []byte(namesAndBodies[i+1])}
	}
	return &protobufs.AgentRemoteConfig{Config: &protobufs.AgentConfigMap{ConfigMap: files}, ConfigHash: []byte(hash)}
}

func TestOffer(t *testing.T) {
	f := func(c *protobufs.AgentRemoteConfig, wantHash string, want remoteconf.Set) {
		t.Helper()
		o, ok := offer(c)
		require.True(t, ok)
		require.NoError(t, o.Err)
		require.True(t, want.Equal(o.Set), o.Set)
		require.NotNil(t, o.Set)
		require.Equal(t, wantHash, o.Hash)
	}
	one := remoteconf.Set{remoteconf.DefaultName: []byte(metricsPipeline)}
	two := remoteconf.Set{"a": []byte(metricsPipeline), "b": []byte(logsPipeline)}
	f(remoteConfig("\x01\xab", "", metricsPipeline), "01ab", one)
	f(remoteConfig("", "", metricsPipeline), one.Hash(), one)
	f(remoteConfig("h", "a", metricsPipeline, "b", logsPipeline), "68", two)
	f(remoteConfig("h"), "68", nil)
	f(remoteConfig("h", "", "# nothing\n"), "68", nil)
	f(remoteConfig(""), "", nil)
	f(&protobufs.AgentRemoteConfig{ConfigHash: []byte("h")}, "68", nil)

	content, err := two.Content()
	require.NoError(t, err)
	o, ok := offer(remoteConfig("h", "", string(content)))
	require.True(t, ok)
	require.Equal(t, []string{"a", "b"}, o.Set.Names())

	for _, none := range []*protobufs.AgentRemoteConfig{nil, {}} {
		_, ok := offer(none)
		require.False(t, ok, "nothing is offered, which is not an empty configuration")
	}
}

func TestOfferRefuses(t *testing.T) {
	f := func(c *protobufs.AgentRemoteConfig, want string) {
		t.Helper()
		o, ok := offer(c)
		require.True(t, ok)
		require.ErrorContains(t, o.Err, want)
		require.Nil(t, o.Set)
		require.NotEmpty(t, o.Hash, "it is what is reported as failed")
	}
	f(remoteConfig("h", "", metricsPipeline, "b", logsPipeline), `the config map has the key "" and 1 others`)
	f(remoteConfig("", "a", "[1]"), "pipelines::a: the configuration is a list")
	f(remoteConfig("h", "a", ""), "pipelines::a: is empty")
	f(remoteConfig("h", "a b", metricsPipeline, "c", "{"), "pipeline name \"a b\": use letters, digits, '_', '-' and '.', beginning with a letter or digit, at most 128\npipelines::c: the configuration is not YAML")
	f(remoteConfig("h", "a", "pipelines: {b: {receivers: {}}}"), `pipelines::a: has the key "pipelines"; send it below the key ""`)
	f(remoteConfig("h", "a", strings.Repeat(" ", remoteconf.MaxSize), "b", "c"), "the configuration has 8388609 bytes; the limit is 8388608")
	deep := "receivers: " + strings.Repeat("{a: ", 3000) + strings.Repeat("}", 3000)
	f(remoteConfig("h", "", deep), "is nested deeper than 66 levels")
	f(remoteConfig("h", "p", deep), "pipelines::p: receivers::a::a")
	many := "receivers: [" + strings.Repeat("1, ", 20_000) + "]"
	f(remoteConfig("h", "p", many, "q", many), "the pipelines have more than 30000 values altogether")
	var names []string
	for i := range 1001 {
		names = append(names, fmt.Sprint("p", i), metricsPipeline)
	}
	f(remoteConfig("h", names...), "the configuration has 1001 pipelines; the limit is 1000")
}

func TestHashes(t *testing.T) {
	require.Equal(t, []byte{1, 0xab}, hashBytes(hashText([]byte{1, 0xab})))
	require.Equal(t, []byte("not hex"), hashBytes("not hex"))
	require.Empty(t, hashBytes(""))
}

func TestInstanceUID(t *testing.T) {
	id, given := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	require.Equal(t, id, instanceUID("", id.String()))
	require.Equal(t, given, instanceUID(given.String(), id.String()))
	require.Equal(t, given, instanceUID(given.String(), "edge-1"))
	derived := instanceUID("", "edge-1")
	require.Equal(t, derived, instanceUID("", "edge-1"), "it is the same after a restart")
	require.NotEqual(t, derived, instanceUID("", "edge-2"))
	require.Equal(t, uuid.Version(5), derived.Version())
	require.NotEqual(t, uuid.Nil, instanceUID("", uuid.Nil.String()))
}

func TestDescription(t *testing.T) {
	id := transport.Identity{
		ID: "edge-1", Name: "Edge \xff", BuildInfo: component.BuildInfo{Command: "invar", Version: "1.2.3"},
		Attributes: map[string]string{"service.namespace": "shop", "env": "prod", "host.name": "mine", "service.instance.id": "no"},
	}
	d := description(id, instanceUID("", id.ID))
	get := func(list []*protobufs.KeyValue) map[string]string {
		m := map[string]string{}
		for _, kv := range list {
			m[kv.Key] = kv.Value.GetStringValue()
		}
		return m
	}
	require.Equal(t, map[string]string{
		"service.name": "invar", "service.version": "1.2.3", "service.namespace": "shop", "service.instance.id": "edge-1",
	}, get(d.IdentifyingAttributes))
	others := get(d.NonIdentifyingAttributes)
	require.Equal(t, "prod", others["env"])
	require.Equal(t, "mine", others["host.name"], "the user's precedes")
	require.Equal(t, "Edge \uFFFD", others["collector.name"])
	require.Contains(t, others, "os.type")
	require.Contains(t, others, "host.arch")
	_, err := proto.Marshal(d)
	require.NoError(t, err)
}

func TestAvailableComponents(t *testing.T) {
	list := []transport.Component{
		{Kind: component.KindReceiver, Type: component.MustNewType("otlp"), Module: "example.org/otlp v1"},
		{Kind: component.KindExporter, Type: component.MustNewType("otlp"), Module: "example.org/otlpexp v1"},
	}
	a := availableComponents(list)
	list[0], list[1] = list[1], list[0]
	require.True(t, proto.Equal(a, availableComponents(list)), "the order does not matter")
	require.Equal(t, "example.org/otlp v1",
		a.Components["receivers"].SubComponentMap["otlp"].Metadata[0].Value.GetStringValue())
	list[0].Module = "example.org/otlp v2"
	require.NotEqual(t, a.Hash, availableComponents(list).Hash)
}

func TestEffectiveConfig(t *testing.T) {
	long := bytes.Repeat([]byte("x"), maxEffective)
	files := effectiveConfig(map[string][]byte{"a": []byte("x: 1"), "b": long, "c": []byte("y: 1")}).ConfigMap.ConfigMap
	require.Equal(t, "x: 1", string(files["a"].Body))
	require.Equal(t, "text/yaml", files["a"].ContentType)
	require.Contains(t, string(files["b"].Body), "# 3145728 bytes are left out")
	require.Equal(t, "y: 1", string(files["c"].Body))
}

func TestComponentHealth(t *testing.T) {
	at := time.Unix(1, 2)
	h := componentHealth(transport.Health{
		Healthy: false, Status: "StatusRecoverableError", Error: "bad \xff", Since: at, Changed: at,
		Parts: map[string]transport.Health{"orders": {Healthy: true, Parts: map[string]transport.Health{"exporter:nop": {Status: "StatusOK"}}}},
	})
	require.Equal(t, "bad \uFFFD", h.LastError)
	require.Equal(t, uint64(1_000_000_002), h.StartTimeUnixNano)
	require.Equal(t, "StatusOK", h.ComponentHealthMap["orders"].ComponentHealthMap["exporter:nop"].Status)
	require.Zero(t, h.ComponentHealthMap["orders"].StartTimeUnixNano)
}

func TestMessagesCarryWhatChanged(t *testing.T) {
	a := newAgent(transport.Identity{ID: "x"}, instanceUID("", "x"), false)
	m := a.message()
	require.NotNil(t, m.AgentDescription)
	require.NotNil(t, m.RemoteConfigStatus)
	require.NotNil(t, m.EffectiveConfig)
	require.Nil(t, m.Health, "it is not known")
	require.NotEmpty(t, m.AvailableComponents.Hash)
	require.Empty(t, m.AvailableComponents.Components)
	require.Zero(t, m.SequenceNum)

	m = a.message()
	require.Equal(t, uint64(1), m.SequenceNum)
	require.Nil(t, m.AgentDescription)
	require.Nil(t, m.RemoteConfigStatus)
	require.Nil(t, m.EffectiveConfig)
	require.Nil(t, m.Health)
	require.Nil(t, m.AvailableComponents)
	require.NotZero(t, m.Capabilities)

	a.report(transport.Report{Hash: "ab", Status: remoteconf.StatusApplying})
	<-a.changed
	m = a.message()
	require.Equal(t, []byte{0xab}, m.RemoteConfigStatus.LastRemoteConfigHash)
	require.Nil(t, m.Health)
	a.report(transport.Report{Hash: "ab", Status: remoteconf.StatusApplying})
	require.Empty(t, a.changed, "nothing changed")

	a.report(transport.Report{Hash: "ab", Status: remoteconf.StatusApplying, Health: transport.Health{Healthy: true}})
	<-a.changed
	m = a.message()
	require.True(t, m.Health.Healthy)
	require.Nil(t, m.RemoteConfigStatus)

	a.lost()
	m = a.message()
	require.NotNil(t, m.AgentDescription)
	require.NotNil(t, m.Health)
	require.NotNil(t, m.RemoteConfigStatus)

	a.asked(false, true)
	<-a.changed
	require.NotNil(t, a.message().AvailableComponents)
}

func TestRename(t *testing.T) {
	generated, given := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	a := newAgent(transport.Identity{ID: generated.String()}, generated, false)
	a.message()
	require.True(t, a.isFor(generated[:]))
	require.False(t, a.isFor(given[:]))
	require.True(t, a.isFor(nil))
	require.True(t, a.rename(given))
	require.False(t, a.rename(given))
	require.True(t, a.isFor(generated[:]), "an answer may be on its way")
	m := a.message()
	require.Equal(t, given[:], m.InstanceUid)
	for _, kv := range m.AgentDescription.IdentifyingAttributes {
		if kv.Key == "service.instance.id" {
			require.Equal(t, given.String(), kv.Value.GetStringValue())
		}
	}
}

// FuzzAnswer decodes and handles arbitrary answers.
func FuzzAnswer(f *testing.F) {
	uid := instanceUID("", "x")
	for _, m := range []*protobufs.ServerToAgent{
		{},
		{RemoteConfig: remoteConfig("h", "a", metricsPipeline, "b", logsPipeline)},
		{RemoteConfig: remoteConfig("", "", "pipelines: {a: {}}")},
		{RemoteConfig: &protobufs.AgentRemoteConfig{Config: &protobufs.AgentConfigMap{ConfigMap: map[string]*protobufs.AgentConfigFile{"a": nil}}}},
		{AgentIdentification: &protobufs.AgentIdentification{NewInstanceUid: uid[:]}, Flags: 3},
		{InstanceUid: uid[:], Command: &protobufs.ServerToAgentCommand{}},
		{ErrorResponse: &protobufs.ServerErrorResponse{Type: 2, Details: &protobufs.ServerErrorResponse_RetryInfo{RetryInfo: &protobufs.RetryInfo{RetryAfterNanoseconds: 1 << 63}}}},
		{ConnectionSettings: &protobufs.ConnectionSettingsOffers{Opamp: &protobufs.OpAMPConnectionSettings{HeartbeatIntervalSeconds: 1 << 63}}},
	} {
		body, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(body)
		f.Add(append([]byte{0}, body...))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decode(body)
		if err != nil {
			return
		}
		tr := newTransport(t, "endpoint: ws://localhost:1", nil)
		offers := 0
		tr.offered = func(o transport.Offer) {
			offers++
			require.Equal(t, o.Set == nil, o.Err != nil)
			for name := range o.Set {
				require.NoError(t, remoteconf.ValidName(name))
			}
			require.True(t, o.Hash != "" || len(o.Set) == 0)
		}
		for range 2 {
			_ = tr.handle(tr.servers[0], m)
		}
		require.LessOrEqual(t, offers, 1, "the second time it is known")
		require.LessOrEqual(t, time.Duration(tr.interval.Load()), maxInterval)
		require.GreaterOrEqual(t, tr.interval.Load(), int64(0))
		_, err = proto.Marshal(tr.agent.message())
		require.NoError(t, err)
	})
}
