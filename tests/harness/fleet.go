package harness

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
	"testing"
	"time"
)

// FleetServer is a running invar-fleet.
type FleetServer struct {
	*Process
	// URL is its base URL, without a slash at the end.
	URL string
	// Dir holds the pipelines.
	Dir string
	// Token is sent with requests if it is not empty.
	Token string

	addr, state string
	args        []string
}

// FleetCollector is a collector in the server's API.
type FleetCollector struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Transport  string            `json:"transport"`
	Attributes map[string]string `json:"attributes"`
	Online     bool              `json:"online"`
	Conflict   bool              `json:"conflict"`
	Status     string            `json:"status"`
	Error      string            `json:"error"`
	UpToDate   bool              `json:"up_to_date"`
	Effective  map[string]string `json:"effective"`
	Pipelines  []struct {
		Name     string `json:"name"`
		Revision int    `json:"revision"`
	} `json:"pipelines"`
}

// Revision returns the revision of a pipeline that the server offers the collector, or
// 0 if it does not offer the pipeline.
func (c FleetCollector) Revision(pipeline string) int {
	for _, p := range c.Pipelines {
		if p.Name == pipeline {
			return p.Revision
		}
	}
	return 0
}

// FleetPipeline is a pipeline in the server's API.
type FleetPipeline struct {
	Active         bool `json:"active"`
	StableRevision int  `json:"stable_revision"`
	Rollout        struct {
		Revision int     `json:"revision"`
		Percent  float64 `json:"percent"`
		State    string  `json:"state"`
		Reason   string  `json:"reason"`
	} `json:"rollout"`
}

// Fleet starts a server with an empty folder and waits until it is ready.
func Fleet(t testing.TB, args ...string) *FleetServer {
	t.Helper()
	dir := t.TempDir()
	f := &FleetServer{Dir: filepath.Join(dir, "pipelines"), addr: FreeAddr(t), state: filepath.Join(dir, "state.db"), args: args}
	f.URL = "http://" + f.addr
	if err := os.Mkdir(f.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.Restart(t)
	return f
}

// Restart starts the server again with the same files, after it was stopped or
// killed.
func (f *FleetServer) Restart(t testing.TB) {
	t.Helper()
	f.Process = start(t, exec.Command(Binary(t, "invar-fleet"), append([]string{
		"--listen", f.addr, "--pipelines", f.Dir, "--state", f.state,
	}, f.args...)...))
	waitHTTP(t, f.Process, f.URL+"/-/ready")
}

// Publish stores a pipeline's file through the API.
func (f *FleetServer) Publish(name, content string) error {
	return f.Do(http.MethodPut, "/api/v1/pipelines/"+name, content, nil)
}

// Pipeline returns a pipeline.
func (f *FleetServer) Pipeline(name string) (p FleetPipeline, err error) {
	return p, f.Do(http.MethodGet, "/api/v1/pipelines/"+name, "", &p)
}

// Collector returns a collector.
func (f *FleetServer) Collector(id string) (c FleetCollector, err error) {
	return c, f.Do(http.MethodGet, "/api/v1/collectors/"+id, "", &c)
}

// Collectors returns all collectors, up to a thousand.
func (f *FleetServer) Collectors() ([]FleetCollector, error) {
	var answer struct {
		Collectors []FleetCollector `json:"collectors"`
	}
	return answer.Collectors, f.Do(http.MethodGet, "/api/v1/collectors?limit=1000", "", &answer)
}

// Applied waits until the collector has applied the current offer of the server, and
// that offer contains the revision of the pipeline. Revision 0 means that the offer
// must not contain the pipeline.
func (f *FleetServer) Applied(t testing.TB, id, pipeline string, revision int) {
	t.Helper()
	Eventually(t, time.Minute, func() error {
		c, err := f.Collector(id)
		done := c.Status == "APPLIED" || c.Status == "UNSET" && len(c.Pipelines) == 0 // never was offered one
		if err == nil && (!done || !c.UpToDate || c.Revision(pipeline) != revision) {
			err = fmt.Errorf("collector %s: %s %s, up to date %v, revision %d of %s; want %d", id, c.Status, c.Error, c.UpToDate, c.Revision(pipeline), pipeline, revision)
		}
		return err
	})
}

// Do sends a request and decodes the JSON of the response into answer. A response
// other than 2xx is an error with its text.
func (f *FleetServer) Do(method, path, body string, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, f.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if f.Token != "" {
		request.Header.Set("Authorization", "Bearer "+f.Token)
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
