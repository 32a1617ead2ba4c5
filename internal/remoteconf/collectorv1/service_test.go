package collectorv1

import (
	"context"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The numbers of the fields are the protocol's, written here a second time and
// not taken from the generated code.
func TestWire(t *testing.T) {
	text := func(b []byte, number protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
	}
	entry := text(text(nil, 1, "k"), 2, "v")
	file := text(text(nil, 1, "body"), 2, "text/yaml")
	files := text(nil, 1, string(text(text(nil, 1, "name"), 2, string(file))))
	status := text(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 3), 2, "reason")

	want := text(nil, 1, "id")
	want = text(want, 2, string(entry))
	want = text(want, 3, "hash")
	want = text(want, 4, string(entry))
	want = text(want, 5, string(status))
	want = text(want, 6, string(text(nil, 1, string(files))))
	var request GetConfigRequest
	require.NoError(t, proto.Unmarshal(want, &request))
	require.True(t, proto.Equal(&GetConfigRequest{
		Id: "id", Attributes: map[string]string{"k": "v"}, Hash: "hash", LocalAttributes: map[string]string{"k": "v"},
		RemoteConfigStatus: &RemoteConfigStatus{Status: RemoteConfigStatuses_RemoteConfigStatuses_FAILED, ErrorMessage: "reason"},
		EffectiveConfig: &EffectiveConfig{ConfigMap: &AgentConfigMap{ConfigMap: map[string]*AgentConfigFile{
			"name": {Body: []byte("body"), ContentType: "text/yaml"},
		}}},
	}, &request), "%v", &request)
	got, err := proto.MarshalOptions{Deterministic: true}.Marshal(&request)
	require.NoError(t, err)
	require.Equal(t, want, got)

	var response GetConfigResponse
	require.NoError(t, proto.Unmarshal(append(text(text(nil, 1, "content"), 2, "hash"), 3<<3, 1), &response))
	require.True(t, proto.Equal(&GetConfigResponse{Content: "content", Hash: "hash", NotModified: true}, &response))

	var register RegisterCollectorRequest
	require.NoError(t, proto.Unmarshal(text(text(text(text(nil, 1, "id"), 2, string(entry)), 3, "name"), 4, string(entry)), &register))
	require.True(t, proto.Equal(&RegisterCollectorRequest{
		Id: "id", Attributes: map[string]string{"k": "v"}, Name: "name", LocalAttributes: map[string]string{"k": "v"},
	}, &register))
}

type echo struct{}

func (echo) RegisterCollector(_ context.Context, r *connect.Request[RegisterCollectorRequest]) (*connect.Response[RegisterCollectorResponse], error) {
	return nil, connect.NewError(connect.CodeAlreadyExists, errorText(r.Msg.GetName()))
}

func (echo) UnregisterCollector(context.Context, *connect.Request[UnregisterCollectorRequest]) (*connect.Response[UnregisterCollectorResponse], error) {
	return connect.NewResponse(&UnregisterCollectorResponse{}), nil
}

func (echo) GetConfig(_ context.Context, r *connect.Request[GetConfigRequest]) (*connect.Response[GetConfigResponse], error) {
	return connect.NewResponse(&GetConfigResponse{Content: r.Msg.GetId(), Hash: r.Msg.GetHash()}), nil
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestClientAndHandler(t *testing.T) {
	server := httptest.NewServer(NewHandler(echo{}))
	defer server.Close()
	for _, options := range [][]connect.ClientOption{nil, {connect.WithProtoJSON()}, {connect.WithGRPCWeb()}} {
		client := NewClient(server.Client(), server.URL+"/", options...)
		_, err := client.RegisterCollector(t.Context(), connect.NewRequest(&RegisterCollectorRequest{Name: "taken"}))
		require.Equal(t, connect.CodeAlreadyExists, connect.CodeOf(err))
		require.ErrorContains(t, err, "taken")
		_, err = client.UnregisterCollector(t.Context(), connect.NewRequest(&UnregisterCollectorRequest{}))
		require.NoError(t, err)
		got, err := client.GetConfig(t.Context(), connect.NewRequest(&GetConfigRequest{Id: "id", Hash: "hash"}))
		require.NoError(t, err)
		require.True(t, proto.Equal(&GetConfigResponse{Content: "id", Hash: "hash"}, got.Msg))
	}
}
