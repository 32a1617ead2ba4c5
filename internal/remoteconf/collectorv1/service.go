// Package collectorv1 is the protocol collector.v1.CollectorService, by which collectors
// get their configuration from a server. collector.proto has the messages. The calls are
// unary and use Connect (https://connectrpc.com), so servers also accept gRPC.
package collectorv1

import (
	"context"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

// The paths of the procedures below the URL of a server.
const (
	RegisterCollectorProcedure   = "/collector.v1.CollectorService/RegisterCollector"
	UnregisterCollectorProcedure = "/collector.v1.CollectorService/UnregisterCollector"
	GetConfigProcedure           = "/collector.v1.CollectorService/GetConfig"
)

// Service is implemented by servers and by the client.
// Methods are safe for concurrent use; errors are *connect.Error.
type Service interface {
	RegisterCollector(context.Context, *connect.Request[RegisterCollectorRequest]) (*connect.Response[RegisterCollectorResponse], error)
	UnregisterCollector(context.Context, *connect.Request[UnregisterCollectorRequest]) (*connect.Response[UnregisterCollectorResponse], error)
	GetConfig(context.Context, *connect.Request[GetConfigRequest]) (*connect.Response[GetConfigResponse], error)
}

// NewClient returns a client for the service at baseURL, such as
// "https://fleet.example.org". The URL may have a path, to which the procedures' paths
// are appended.
func NewClient(client connect.HTTPClient, baseURL string, options ...connect.ClientOption) Service {
	baseURL = strings.TrimRight(baseURL, "/")
	return &serviceClient{
		register:   connect.NewClient[RegisterCollectorRequest, RegisterCollectorResponse](client, baseURL+RegisterCollectorProcedure, options...),
		unregister: connect.NewClient[UnregisterCollectorRequest, UnregisterCollectorResponse](client, baseURL+UnregisterCollectorProcedure, options...),
		getConfig:  connect.NewClient[GetConfigRequest, GetConfigResponse](client, baseURL+GetConfigProcedure, options...),
	}
}

type serviceClient struct {
	register   *connect.Client[RegisterCollectorRequest, RegisterCollectorResponse]
	unregister *connect.Client[UnregisterCollectorRequest, UnregisterCollectorResponse]
	getConfig  *connect.Client[GetConfigRequest, GetConfigResponse]
}

func (c *serviceClient) RegisterCollector(ctx context.Context, r *connect.Request[RegisterCollectorRequest]) (*connect.Response[RegisterCollectorResponse], error) {
	return c.register.CallUnary(ctx, r)
}

func (c *serviceClient) UnregisterCollector(ctx context.Context, r *connect.Request[UnregisterCollectorRequest]) (*connect.Response[UnregisterCollectorResponse], error) {
	return c.unregister.CallUnary(ctx, r)
}

func (c *serviceClient) GetConfig(ctx context.Context, r *connect.Request[GetConfigRequest]) (*connect.Response[GetConfigResponse], error) {
	return c.getConfig.CallUnary(ctx, r)
}

// NewHandler returns a handler that serves the procedures with service.
func NewHandler(service Service, options ...connect.HandlerOption) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(RegisterCollectorProcedure, connect.NewUnaryHandler(RegisterCollectorProcedure, service.RegisterCollector, options...))
	mux.Handle(UnregisterCollectorProcedure, connect.NewUnaryHandler(UnregisterCollectorProcedure, service.UnregisterCollector, options...))
	mux.Handle(GetConfigProcedure, connect.NewUnaryHandler(GetConfigProcedure, service.GetConfig, options...))
	return mux
}
