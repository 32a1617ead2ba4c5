package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/loopbackport"
)

// server is the fleet server under test.
type server struct {
	*peerprocess.Child
	url string
}

func startServer(ctx context.Context, o options, dir string) (*server, error) {
	addr, err := loopbackport.FreeAddr()
	if err != nil {
		return nil, err
	}
	pipelines := filepath.Join(dir, "pipelines")
	if err := os.Mkdir(pipelines, 0o700); err != nil {
		return nil, err
	}
	child, err := peerprocess.Start(exec.Command(o.fleet,
		"--listen", addr, "--pipelines", pipelines, "--state", filepath.Join(dir, "state.db")), dir)
	if err != nil {
		return nil, err
	}
	s := &server{Child: child, url: "http://" + addr}
	for range 100 {
		if err = s.do(ctx, http.MethodGet, "/-/ready", "", nil); err == nil {
			return s, nil
		}
		if err := peerprocess.Wait(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	s.Stop()
	return nil, fmt.Errorf("%w: %s", err, s.Output())
}

// do sends a request. A response other than 2xx is an error with its text.
func (s *server) do(ctx context.Context, method, path, body string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(text))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}
