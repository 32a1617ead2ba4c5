package lokireceiver

import (
	"context"
	"net/http"

	"github.com/grafana/loki/pkg/push"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// pusherService is logproto.Pusher of push.proto. Unlike the generated service, its
// handler gets the request's bytes, and checks their cost before it decodes them.
var pusherService = grpc.ServiceDesc{
	ServiceName: "logproto.Pusher",
	HandlerType: (*rawPusher)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Push", Handler: handlePush}},
	Metadata:    "push.proto",
}

// rawPusher is called for every request over gRPC, concurrently.
type rawPusher interface {
	pushRaw(ctx context.Context, request []byte) (*push.PushResponse, error)
}

func handlePush(server any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // grpc.MethodHandler's order
	var request rawMessage
	if err := decode(&request); err != nil {
		return nil, err
	}
	handle := func(ctx context.Context, _ any) (any, error) { return server.(rawPusher).pushRaw(ctx, request) }
	if interceptor == nil {
		return handle(ctx, &request)
	}
	return interceptor(ctx, &request, &grpc.UnaryServerInfo{Server: server, FullMethod: "/logproto.Pusher/Push"}, handle)
}

// rawMessage is an undecoded message.
type rawMessage []byte

// rawCodec does not decode requests, and encodes answers as gRPC does.
type rawCodec struct{ encoding.CodecV2 }

func newRawCodec() rawCodec { return rawCodec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if raw, ok := v.(*rawMessage); ok {
		*raw = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// pushRaw answers a push over gRPC.
func (r *lokiReceiver) pushRaw(ctx context.Context, plain []byte) (*push.PushResponse, error) {
	const format = "protobuf"
	ctx = r.obsGRPC.StartLogsOp(ctx)
	budget := lokiapi.NewBudget(int64(r.cfg.MaxRequestMemory))
	request, err := lokiapi.DecodeProtobuf(plain, budget)
	var p *problem
	if err != nil {
		p = undecodable(err)
		r.obsGRPC.EndLogsOp(ctx, format, 0, err)
	} else {
		p = r.consume(ctx, r.obsGRPC, format, request, budget)
	}
	if p == nil {
		return &push.PushResponse{}, nil
	}
	code := codes.InvalidArgument
	switch p.status {
	case http.StatusServiceUnavailable:
		code = codes.Unavailable
	case http.StatusRequestEntityTooLarge:
		code = codes.ResourceExhausted
	}
	return nil, status.Error(code, p.err.Error())
}
