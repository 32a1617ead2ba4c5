package api

import (
	"context"
	"errors"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/internal/remoteconf"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

// maxMessage is the size limit of a collector's message after decompression, in
// bytes.
const maxMessage = 4 << 20

// connectService answers collector.v1.CollectorService from the fleet.
type connectService struct{ fleet *fleet.Fleet }

func newConnectHandler(f *fleet.Fleet) http.Handler {
	return collectorv1.NewHandler(&connectService{f}, connect.WithReadMaxBytes(maxMessage))
}

// RegisterCollector records the collector. It is no error if the id is known: the
// collector was restarted, or two use one id, which the API shows.
func (s *connectService) RegisterCollector(ctx context.Context, r *connect.Request[collectorv1.RegisterCollectorRequest]) (*connect.Response[collectorv1.RegisterCollectorResponse], error) {
	sighting := newSighting(ctx, r, r.Msg.GetId(), r.Msg.GetLocalAttributes(), r.Msg.GetAttributes()) //nolint:staticcheck // older collectors send the deprecated field
	sighting.Name, sighting.Partial = r.Msg.GetName(), true
	if _, err := s.fleet.Seen(ctx, sighting); err != nil {
		return nil, connectError(err)
	}
	return connect.NewResponse(&collectorv1.RegisterCollectorResponse{}), nil
}

// UnregisterCollector records that the collector is gone.
func (s *connectService) UnregisterCollector(ctx context.Context, r *connect.Request[collectorv1.UnregisterCollectorRequest]) (*connect.Response[collectorv1.UnregisterCollectorResponse], error) {
	if err := s.fleet.Gone(ctx, r.Msg.GetId()); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return nil, connectError(err)
	}
	return connect.NewResponse(&collectorv1.UnregisterCollectorResponse{}), nil
}

// GetConfig records what the collector reports and returns what it should run. The
// collector need not have registered.
func (s *connectService) GetConfig(ctx context.Context, r *connect.Request[collectorv1.GetConfigRequest]) (*connect.Response[collectorv1.GetConfigResponse], error) {
	sighting := newSighting(ctx, r, r.Msg.GetId(), r.Msg.GetLocalAttributes(), r.Msg.GetAttributes()) //nolint:staticcheck // older collectors send the deprecated field
	sighting.Hash = r.Msg.GetHash()
	sighting.Status = remoteconf.Status(r.Msg.GetRemoteConfigStatus().GetStatus())
	sighting.Error = r.Msg.GetRemoteConfigStatus().GetErrorMessage()
	if effective := r.Msg.GetEffectiveConfig().GetConfigMap(); effective != nil {
		sighting.Effective = make(map[string][]byte, len(effective.GetConfigMap()))
		for name, file := range effective.GetConfigMap() {
			sighting.Effective[name] = file.GetBody()
		}
	}
	offer, err := s.fleet.Seen(ctx, sighting)
	if err != nil {
		return nil, connectError(err)
	}
	if offer.Hash == r.Msg.GetHash() {
		return connect.NewResponse(&collectorv1.GetConfigResponse{NotModified: true}), nil
	}
	content, err := offer.Content()
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&collectorv1.GetConfigResponse{Content: string(content), Hash: offer.Hash}), nil
}

func newSighting(ctx context.Context, r connect.AnyRequest, id string, attributes, deprecated map[string]string) fleet.Sighting {
	if attributes == nil {
		attributes = deprecated
	}
	return fleet.Sighting{
		ID: id, Transport: fleet.TransportConnect, Attributes: attributes,
		Version: attributes["collector.version"],
		Token:   fleet.TokenOf(ctx),
		Address: address(r.Peer().Addr, r.Header()),
	}
}

// address returns where a request came from. Behind a proxy it has no port: the
// proxy's connections are shared, and a collector would seem to move with each.
func address(remote string, header http.Header) string {
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Real-Ip"} {
		if header.Get(name) != "" {
			if host, _, err := net.SplitHostPort(remote); err == nil {
				return host
			}
		}
	}
	return remote
}

func connectError(err error) *connect.Error {
	code := connect.CodeInternal
	switch {
	case errors.Is(err, fleet.ErrInvalid):
		code = connect.CodeInvalidArgument
	case errors.Is(err, fleet.ErrFull):
		code = connect.CodeResourceExhausted
	case errors.Is(err, context.Canceled):
		code = connect.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		code = connect.CodeDeadlineExceeded
	}
	return connect.NewError(code, err)
}
