// Package collectorv1 is the protocol collector.v1.CollectorService: how
// collectors ask a server for their configuration. collector.proto has the
// messages; the calls are unary and go over Connect (https://connectrpc.com),
// so that a server may be asked in gRPC as well.
package collectorv1

import (
	"context"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

// The paths of the calls below the URL of a server.
const (
	RegisterCollectorProcedure   = "/collector.v1.CollectorService/RegisterCollector"
	UnregisterCollectorProcedure = "/collector.v1.CollectorService/UnregisterCollector"
	GetConfigProcedure           = "/collector.v1.CollectorService/GetConfig"
)

// Service is the protocol as a server implements it and as a client calls it.
// Methods are safe for concurrent use; errors are *connect.Error.
type Service interface {
	RegisterCollector(context.Context, *connect.Request[RegisterCollectorRequest]) (*connect.Response[RegisterCollectorResponse], error)
	UnregisterCollector(context.Context, *connect.Request[UnregisterCollectorRequest]) (*connect.Response[UnregisterCollectorResponse], error)
	GetConfig(context.Context, *connect.Request[GetConfigRequest]) (*connect.Response[GetConfigResponse], error)
}

// NewClient returns the service at baseURL, for example
// "https://fleet.example.org". A path in it is kept in front of the calls' own.
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

// NewHandler returns a handler for the calls' paths that asks service.
func NewHandler(service Service, options ...connect.HandlerOption) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(RegisterCollectorProcedure, connect.NewUnaryHandler(RegisterCollectorProcedure, service.RegisterCollector, options...))
	mux.Handle(UnregisterCollectorProcedure, connect.NewUnaryHandler(UnregisterCollectorProcedure, service.UnregisterCollector, options...))
	mux.Handle(GetConfigProcedure, connect.NewUnaryHandler(GetConfigProcedure, service.GetConfig, options...))
	return mux
}
