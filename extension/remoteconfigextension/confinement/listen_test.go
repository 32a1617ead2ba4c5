package confinement

import (
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"
)

// servedConfig is a configuration with servers in all the forms that components use.
type servedConfig struct {
	HTTP      configoptional.Optional[confighttp.ServerConfig] `mapstructure:"http"`
	GRPC      *configgrpc.ServerConfig                         `mapstructure:"grpc"`
	Several   []confignet.TCPAddrConfig                        `mapstructure:"several"`
	ByName    map[string]any                                   `mapstructure:"by_name"`
	Text      textConfig                                       `mapstructure:",squash"`
	APIServer apiServer                                        `mapstructure:"api_server"`
	hidden    confignet.AddrConfig
}

type textConfig struct {
	ListenAddress *string `mapstructure:"listen_address"`
	Endpoint      string  `mapstructure:"endpoint"`
}

type apiServer struct {
	Enabled bool                    `mapstructure:"enabled"`
	Server  confighttp.ServerConfig `mapstructure:"server_config"`
}

func httpServer(transport, endpoint string) confighttp.ServerConfig {
	return confighttp.ServerConfig{NetAddr: confignet.AddrConfig{Transport: confignet.TransportType(transport), Endpoint: endpoint}}
}

func TestListening(t *testing.T) {
	rules, root := tree(t)
	rules.AllowedListenAddresses = []string{"0.0.0.0:4317", "10.0.0.5:*", "*:8125", "[fe80::1]:9"}
	require.NoError(t, rules.Validate())
	f := func(id string, cfg servedConfig, want string) {
		t.Helper()
		var parsed component.ID
		require.NoError(t, parsed.UnmarshalText([]byte(id)))
		if !cfg.APIServer.Enabled {
			cfg.APIServer.Server = httpServer("tcp", "127.0.0.1:1")
		}
		err := rules.CheckResolved(nil, Components{Receivers: map[component.ID]component.Config{parsed: &cfg}})
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	http := func(transport, endpoint string) servedConfig {
		return servedConfig{HTTP: configoptional.Some(httpServer(transport, endpoint))}
	}
	text := func(address string) servedConfig { return servedConfig{Text: textConfig{ListenAddress: &address}} }

	f("otlp", servedConfig{hidden: confignet.AddrConfig{Endpoint: ":1"}}, "")
	f("otlp", servedConfig{HTTP: configoptional.Default(httpServer("tcp", ":1"))}, "")
	for _, loopback := range []string{"127.0.0.1:1", "127.9.8.7:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"} {
		f("otlp", http("tcp", loopback), "")
	}
	for _, open := range []string{":4318", "0.0.0.0:4318", "[::]:4318", "[::ffff:0.0.0.0]:4318", "10.0.0.6:4317", "host:4317", "localhost.:1",
		"127.1:1", "0:4318", "", "127.0.0.1.example.com:1", "[fe80::2]:9"} {
		f("otlp/a", http("tcp", open), "receivers::otlp/a::http::endpoint: ")
		f("otlp/a", http("udp", open), "listens beyond this host; use")
	}
	for _, permitted := range []string{":4317", "[::]:4317", "10.0.0.5:1", "[::ffff:10.0.0.5]:1", "any:8125", "[fe80::1]:9"} {
		f("otlp", http("tcp", permitted), "")
	}
	f("otlp", http("tcp", ":4318"), `let the administrator add "0.0.0.0:4318" to allowed_listen_addresses`)

	f("otlp", http("unix", root+"/allowed/a.sock"), "")
	f("otlp", http("unix", root+"/secret/a.sock"), "is not within allowed_paths")
	f("otlp", http("unixgram", "@name"), "leads to other programs")

	f("otlp", servedConfig{GRPC: &configgrpc.ServerConfig{NetAddr: confignet.AddrConfig{Transport: "tcp", Endpoint: ":1"}}}, "receivers::otlp::grpc::endpoint")
	f("otlp", servedConfig{Several: []confignet.TCPAddrConfig{{Endpoint: "localhost:1"}, {Endpoint: ":1"}}}, "receivers::otlp::several::1::endpoint")
	f("otlp", servedConfig{ByName: map[string]any{"x": &confignet.AddrConfig{Transport: "tcp", Endpoint: ":1"}}}, "receivers::otlp::by_name::x::endpoint")

	f("syslog", text(":1"), "receivers::syslog::listen_address")
	f("syslog", text("localhost:1"), "")
	f("syslog", text("1"), "listens beyond")
	f("fluentforward", servedConfig{Text: textConfig{Endpoint: ":1"}}, "receivers::fluentforward::endpoint")
	f("fluent_forward", servedConfig{Text: textConfig{Endpoint: ""}}, "receivers::fluent_forward::endpoint")
	f("fluent_forward", servedConfig{Text: textConfig{Endpoint: "unix://" + root + "/secret/x"}}, "is not within allowed_paths")
	f("kafka", servedConfig{Text: textConfig{Endpoint: "remote:1"}}, "")

	open := servedConfig{APIServer: apiServer{Enabled: true, Server: httpServer("tcp", ":1")}}
	f("prometheus", open, "receivers::prometheus::api_server::server_config::endpoint")
	require.NoError(t, rules.CheckResolved(nil, Components{Receivers: map[component.ID]component.Config{
		component.MustNewID("prometheus"): &servedConfig{APIServer: apiServer{Server: httpServer("tcp", ":1")}},
		component.MustNewID("nop"):        nil,
	}}))
}

func TestListenersNow(t *testing.T) {
	before, err := ListenersNow()
	require.NoError(t, err)

	listen := func(network, address string) net.Addr {
		t.Helper()
		if network == "udp" {
			conn, err := net.ListenPacket(network, address)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			return conn.LocalAddr()
		}
		l, err := net.Listen(network, address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		return l.Addr()
	}
	loopback := listen("tcp", "127.0.0.1:0")
	open := listen("tcp4", "0.0.0.0:0").(*net.TCPAddr)
	listen("udp", "0.0.0.0:0")
	client, err := net.Dial("tcp", loopback.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })

	now, err := ListenersNow()
	require.NoError(t, err)
	if runtime.GOOS != "linux" {
		require.Empty(t, now)
		return
	}
	var rules Rules
	got := rules.New(before, now)
	require.Len(t, got, 2, "%v", got)
	require.Contains(t, got, open.AddrPort().String()+"/tcp")
	require.Empty(t, rules.New(now, now))
	require.Empty(t, rules.New(now, before))

	rules.AllowedListenAddresses = []string{"0.0.0.0:*"}
	require.Empty(t, rules.New(before, now))
	rules.AllowedListenAddresses = []string{"*:" + open.AddrPort().String()[len("0.0.0.0:"):]}
	require.Len(t, rules.New(before, now), 1)
}
