package connecttransport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

const (
	// maxHash bounds a server's hash in bytes. It is part of every request.
	maxHash = 1024
	// maxWords bounds the text of a server's error in bytes.
	maxWords = 512

	contentType = "text/yaml"
)

// server is one of the URLs and what its server has been told.
type server struct {
	url        string
	service    collectorv1.Service
	registered bool
	// effective is the configuration last reported; nil if the server may not have it.
	effective map[string][]byte
	// problem is the error that was logged last; "" after a success.
	problem string
}

// ask does one exchange with a server, and reports whether the server answered.
func (t *Transport) ask(ctx context.Context, s *server) bool {
	t.mu.Lock()
	report := t.report
	select {
	case <-t.reported: // part of this exchange
	default:
	}
	t.mu.Unlock()
	answer, err := t.exchange(ctx, s, report)
	var offer transport.Offer
	changed := false
	if err == nil {
		offer, changed, err = t.read(answer)
	}
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		// It may have restarted and lost its state.
		s.effective = nil
		t.failed(s, explain(err))
		return false
	}
	if s.problem != "" {
		t.set.Telemetry.Logger.Info("The configuration server answers again", zap.String("endpoint", s.url))
		s.problem = ""
	}
	t.set.Asked(nil)
	if changed {
		t.received, t.hash = true, offer.Hash
		t.offered(offer)
	}
	return true
}

// exchange registers with the server if needed and asks for the configuration.
func (t *Transport) exchange(ctx context.Context, s *server, report transport.Report) (*collectorv1.GetConfigResponse, error) {
	for isRetry := false; ; isRetry = true {
		if !s.registered {
			if err := t.register(ctx, s); err != nil {
				return nil, fmt.Errorf("register: %w", err)
			}
		}
		answer, err := s.service.GetConfig(ctx, connect.NewRequest(t.request(s, report)))
		if err == nil {
			s.effective = report.Effective
			if s.effective == nil {
				s.effective = map[string][]byte{}
			}
			return answer.Msg, nil
		}
		if connect.CodeOf(err) != connect.CodeNotFound || isRetry {
			return nil, fmt.Errorf("get the configuration: %w", err)
		}
		s.registered, s.effective = false, nil // the server has forgotten this collector
	}
}

func (t *Transport) register(ctx context.Context, s *server) error {
	id := &t.set.Identity
	_, err := s.service.RegisterCollector(ctx, connect.NewRequest(&collectorv1.RegisterCollectorRequest{
		Id: id.ID, Name: id.Name, LocalAttributes: id.Attributes,
	}))
	switch connect.CodeOf(err) {
	case connect.CodeAlreadyExists:
		// It may be this collector before a restart. The configuration is available
		// either way.
		t.set.Telemetry.Logger.Warn("The server knows a collector with this ID already; give each collector an id of its own",
			zap.String("endpoint", s.url), zap.String("id", id.ID), zap.Error(explain(err)))
		err = nil
	case connect.CodeUnimplemented:
		err = nil // the server needs no registration
	}
	s.registered = err == nil
	return err
}

func (s *server) unregister(ctx context.Context, id string) error {
	_, err := s.service.UnregisterCollector(ctx, connect.NewRequest(&collectorv1.UnregisterCollectorRequest{Id: id}))
	return err
}

// request returns the request to a server. It has the effective configuration only if
// that has changed.
func (t *Transport) request(s *server, report transport.Report) *collectorv1.GetConfigRequest {
	req := &collectorv1.GetConfigRequest{Id: t.set.Identity.ID, LocalAttributes: t.set.Identity.Attributes, Hash: report.Hash}
	if report.Status != remoteconf.StatusUnset {
		req.RemoteConfigStatus = &collectorv1.RemoteConfigStatus{
			Status: collectorv1.RemoteConfigStatuses(report.Status), ErrorMessage: strings.ToValidUTF8(report.Error, "\uFFFD"),
		}
	}
	if s.effective == nil || !maps.EqualFunc(s.effective, report.Effective, bytes.Equal) {
		files := make(map[string]*collectorv1.AgentConfigFile, len(report.Effective))
		for name, body := range report.Effective {
			files[name] = &collectorv1.AgentConfigFile{Body: body, ContentType: contentType}
		}
		req.EffectiveConfig = &collectorv1.EffectiveConfig{ConfigMap: &collectorv1.AgentConfigMap{ConfigMap: files}}
	}
	return req
}

// read returns the offer in an answer, and whether it differs from the last one.
func (t *Transport) read(answer *collectorv1.GetConfigResponse) (offer transport.Offer, changed bool, err error) {
	if answer.NotModified {
		return transport.Offer{}, false, nil
	}
	if len(answer.Hash) > maxHash {
		return transport.Offer{}, false, fmt.Errorf("the server's hash has %d bytes; the limit is %d", len(answer.Hash), maxHash)
	}
	if t.received && answer.Hash != "" && answer.Hash == t.hash {
		return transport.Offer{}, false, nil // a server without not_modified
	}
	offer = transport.Offer{Hash: answer.Hash}
	offer.Set, offer.Err = remoteconf.Parse([]byte(answer.Content))
	switch {
	case offer.Hash != "":
	case offer.Err == nil:
		offer.Hash = offer.Set.Hash()
	default:
		sum := sha256.Sum256([]byte(answer.Content))
		offer.Hash = hex.EncodeToString(sum[:])
	}
	return offer, !t.received || offer.Hash != t.hash, nil
}

// failed reports a server that does not answer, and logs each new reason once.
func (t *Transport) failed(s *server, err error) {
	if err.Error() != s.problem {
		s.problem = err.Error()
		t.set.Telemetry.Logger.Warn("The configuration server does not answer; what runs goes on", zap.String("endpoint", s.url), zap.Error(err))
	}
	t.set.Asked(fmt.Errorf("%s: %w", s.url, err))
}

// explain returns an error of connect with a short text in one line; a server may have
// chosen the text.
func explain(err error) error {
	var answered *connect.Error
	if err == nil || !errors.As(err, &answered) {
		return err
	}
	words := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(err.Error(), "\uFFFD"))
	if len(words) > maxWords {
		words = strings.ToValidUTF8(words[:maxWords], "") + "…"
	}
	return errors.New(words)
}
