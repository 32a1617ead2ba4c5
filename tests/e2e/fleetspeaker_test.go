package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// speaker simulates a collector for the server: it polls its configuration in the
// protocol's JSON encoding, and reports the result of applying it.
type speaker struct {
	speakerOptions
	url    string
	client *http.Client // its own: a server tells collectors apart by their connections, too

	mu      sync.Mutex
	content string
	hash    string
	status  map[string]string
}

type speakerOptions struct {
	id, name   string
	attributes map[string]string
	every      time.Duration     // how often it polls
	fails      map[string]string // the error it reports, by a text in the configuration
	ignores    string            // a text in a configuration that makes it keep the previous one
}

// speak runs a speaker until the test ends.
func speak(t *testing.T, fleet *harness.FleetServer, o speakerOptions) *speaker {
	t.Helper()
	transport := &http.Transport{}
	s := &speaker{
		speakerOptions: o, url: fleet.URL, client: &http.Client{Timeout: 5 * time.Second, Transport: transport},
		status: map[string]string{"status": "RemoteConfigStatuses_UNSET"},
	}
	var polling sync.WaitGroup
	stop := make(chan struct{})
	require.NoError(t, s.call("RegisterCollector", map[string]any{"id": o.id, "name": o.name, "localAttributes": o.attributes}, nil))
	polling.Go(func() {
		for {
			_ = s.poll() // the server may be down
			select {
			case <-stop:
				return
			case <-time.After(o.every):
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		polling.Wait()
		transport.CloseIdleConnections()
	})
	return s
}

func (s *speaker) poll() error {
	var answer struct {
		Content, Hash string
		NotModified   bool
	}
	s.mu.Lock()
	hash, status, content := s.hash, s.status, s.content
	s.mu.Unlock()
	err := s.call("GetConfig", map[string]any{
		"id": s.id, "hash": hash, "localAttributes": s.attributes, "remoteConfigStatus": status,
		"effectiveConfig": map[string]any{"configMap": map[string]any{"configMap": map[string]any{"remote": map[string]any{"body": []byte(content)}}}},
	}, &answer)
	if err != nil || answer.NotModified || answer.Hash == hash || s.ignores != "" && strings.Contains(answer.Content, s.ignores) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content, s.hash = answer.Content, answer.Hash
	s.status = map[string]string{"status": "RemoteConfigStatuses_APPLIED"}
	for part, message := range s.fails {
		if strings.Contains(answer.Content, part) {
			s.status = map[string]string{"status": "RemoteConfigStatuses_FAILED", "errorMessage": message}
		}
	}
	return nil
}

func (s *speaker) call(procedure string, message, answer any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, s.url+"/collector.v1.CollectorService/"+procedure, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer collector-token")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", procedure, response.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// has waits until the collector has a configuration that contains the text, or none that
// does.
func (s *speaker) has(t *testing.T, text string, want bool) {
	t.Helper()
	harness.Eventually(t, pageTimeout, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if strings.Contains(s.content, text) != want {
			return fmt.Errorf("%s: %q in its configuration is not %v:\n%s", s.name, text, want, s.content)
		}
		return nil
	})
}
