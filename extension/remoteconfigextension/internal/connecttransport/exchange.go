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
	// maxHash bounds a server's hash, which goes back to it with every request.
	maxHash = 1024
	// maxWords bounds what is kept of a server's words.
	maxWords = 512

	contentType = "text/yaml"
)

// server is one of the URLs and what it is known to know.
type server struct {
	url        string
	service    collectorv1.Service
	registered bool
	// effective is what the server was told runs; nil if it may have forgotten.
	effective map[string][]byte
	// problem is the last error as it was logged; "" if there is none.
	problem string
}

// ask does one exchange with a server, and tells whether it answered.
func (t *Transport) ask(ctx context.Context, s *server) bool {
	t.mu.Lock()
	report := t.report
	select {
	case <-t.reported: // this exchange tells it
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
		// It may have been restarted without what it knew.
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
	for again := false; ; again = true {
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
		if connect.CodeOf(err) != connect.CodeNotFound || again {
			return nil, fmt.Errorf("get the configuration: %w", err)
		}
		s.registered, s.effective = false, nil // it forgot this collector
	}
}

func (t *Transport) register(ctx context.Context, s *server) error {
	id := &t.set.Identity
	_, err := s.service.RegisterCollector(ctx, connect.NewRequest(&collectorv1.RegisterCollectorRequest{
		Id: id.ID, Name: id.Name, LocalAttributes: id.Attributes,
	}))
	switch connect.CodeOf(err) {
	case connect.CodeAlreadyExists:
		// It may be this collector before a restart. A server that knows better
		// says so in its words; the configuration is to be had either way.
		t.set.Telemetry.Logger.Warn("The server knows a collector with this ID already; give each collector an id of its own",
			zap.String("endpoint", s.url), zap.String("id", id.ID), zap.Error(explain(err)))
		err = nil
	case connect.CodeUnimplemented:
		err = nil // the server takes collectors as they come
	}
	s.registered = err == nil
	return err
}

func (s *server) unregister(ctx context.Context, id string) error {
	_, err := s.service.UnregisterCollector(ctx, connect.NewRequest(&collectorv1.UnregisterCollectorRequest{Id: id}))
	return err
}

// request is what the server is told. What runs is only in it if the server does
// not know it.
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

// read makes an offer of an answer, and tells whether it is another one than the
// last.
func (t *Transport) read(answer *collectorv1.GetConfigResponse) (offer transport.Offer, changed bool, err error) {
	if answer.NotModified {
		return transport.Offer{}, false, nil
	}
	if len(answer.Hash) > maxHash {
		return transport.Offer{}, false, fmt.Errorf("the server's hash has %d bytes; at most %d are taken", len(answer.Hash), maxHash)
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

// failed tells users about a server that does not answer, once per reason.
func (t *Transport) failed(s *server, err error) {
	if err.Error() != s.problem {
		s.problem = err.Error()
		t.set.Telemetry.Logger.Warn("The configuration server does not answer; what runs goes on", zap.String("endpoint", s.url), zap.Error(err))
	}
	t.set.Asked(fmt.Errorf("%s: %w", s.url, err))
}

// explain makes an error of connect one for people: a server's words are
// shortened and have no line breaks.
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
