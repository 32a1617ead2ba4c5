package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configmiddleware"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/sockets"
)

// preflight tries what components do only at their start, while the running service
// is still up: it loads certificates, binds addresses, and looks for the extensions
// that are referred to. It knows the collector's standard configuration blocks in any
// component. Everything else fails at the start, which is rolled back.
func preflight(ctx context.Context, cfg *otelcol.Config) error {
	p := &trial{extensions: cfg.Service.Extensions}
	defer p.close()
	for _, u := range used(cfg) {
		visitParts(u.path, u.config, func(path string, part any) {
			if err := p.try(ctx, part); err != nil {
				p.errs = append(p.errs, fmt.Errorf("%s: %w", path, err))
			}
		})
	}
	return errors.Join(p.errs...)
}

// usedConfig is the configuration of a component in service.
type usedConfig struct {
	path   string // its key
	config component.Config
}

func used(cfg *otelcol.Config) []usedConfig {
	var all []usedConfig
	seen := map[string]bool{}
	add := func(kind string, id component.ID, config component.Config) {
		path := kind + "::" + id.String()
		if config != nil && !seen[path] {
			seen[path] = true
			all = append(all, usedConfig{path, config})
		}
	}
	for _, id := range cfg.Service.Extensions {
		add("extensions", id, cfg.Extensions[id])
	}
	for _, p := range cfg.Service.Pipelines {
		for _, id := range p.Receivers {
			add("receivers", id, cfg.Receivers[id])
			add("connectors", id, cfg.Connectors[id])
		}
		for _, id := range p.Processors {
			add("processors", id, cfg.Processors[id])
		}
		for _, id := range p.Exporters {
			add("exporters", id, cfg.Exporters[id])
			add("connectors", id, cfg.Connectors[id])
		}
	}
	slices.SortFunc(all, func(a, b usedConfig) int { // pipelines are in a map
		if a.path < b.path {
			return -1
		}
		return 1
	})
	return all
}

// trial tries the parts of one configuration. Its listeners stay open until the
// end, which finds addresses that are configured twice.
type trial struct {
	extensions []component.ID
	listeners  []net.Listener
	own        map[string]bool // ports this process listens on; nil until looked up
	errs       []error
}

func (p *trial) close() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
}

func (p *trial) try(ctx context.Context, part any) error {
	switch part := part.(type) {
	case *configtls.ClientConfig:
		if part.TPMConfig.Enabled {
			return nil // the device may allow one user only
		}
		_, err := part.LoadTLSConfig(ctx)
		return err
	case *configtls.ServerConfig:
		if part.TPMConfig.Enabled {
			return nil
		}
		once := *part
		once.ReloadClientCAFile = false // would start to watch the file
		_, err := once.LoadTLSConfig(ctx)
		return err
	case *confighttp.ServerConfig:
		return p.listen(ctx, part.NetAddr)
	case *configgrpc.ServerConfig:
		return p.listen(ctx, part.NetAddr)
	case *configauth.Config:
		return p.extension("authenticator", part.AuthenticatorID)
	case *configmiddleware.Config:
		return p.extension("id", part.ID)
	case *exporterhelper.QueueBatchConfig:
		if part.StorageID != nil {
			return p.extension("storage", *part.StorageID)
		}
	}
	return nil
}

func (p *trial) extension(key string, id component.ID) error {
	if slices.Contains(p.extensions, id) {
		return nil
	}
	return fmt.Errorf("%s: %q is not in service::extensions", key, id)
}

// ownPorts returns the TCP ports that this process listens on, in decimal.
func ownPorts() (map[string]bool, error) {
	sockets, err := sockets.Listening()
	ports := make(map[string]bool, len(sockets))
	for s := range sockets {
		if s.Network == "tcp" {
			ports[strconv.Itoa(int(s.Address.Port()))] = true
		}
	}
	return ports, err
}

// listen binds a TCP address for a moment. An address that this process listens on
// belongs to the service that is about to be stopped.
func (p *trial) listen(ctx context.Context, addr confignet.AddrConfig) error {
	switch addr.Transport {
	case confignet.TransportTypeTCP, confignet.TransportTypeTCP4, confignet.TransportTypeTCP6:
	default:
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, string(addr.Transport), addr.Endpoint)
	if err == nil {
		p.listeners = append(p.listeners, l)
		return nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("endpoint: %w", err)
	}
	_, port, splitErr := net.SplitHostPort(addr.Endpoint)
	if splitErr != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	if p.bindsTwice(port) {
		return fmt.Errorf("endpoint: %w: another component of this configuration has port %s", err, port)
	}
	if p.own == nil {
		own, err := ownPorts()
		if err != nil {
			return nil //nolint:nilerr // not known; the start will tell
		}
		p.own = own
	}
	if p.own[port] {
		return nil
	}
	return fmt.Errorf("endpoint: %q is in use by another process", addr.Endpoint)
}

func (p *trial) bindsTwice(port string) bool {
	return slices.ContainsFunc(p.listeners, func(l net.Listener) bool {
		_, bound, err := net.SplitHostPort(l.Addr().String())
		return err == nil && bound == port
	})
}
