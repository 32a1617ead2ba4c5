package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/extension/remoteconfigextension"
	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfigsAreValid(t *testing.T) {
	d := demo{folder: t.TempDir(), listen: "127.0.0.1:12400"}
	for _, c := range collectors {
		var parsed map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(d.config(c.env, c.transport)), &parsed))
		config := remoteconfigextension.NewFactory().CreateDefaultConfig()
		section, err := confmap.NewFromStringMap(parsed).Sub("extensions::remote_config")
		require.NoError(t, err)
		require.NoError(t, section.Unmarshal(config))
		require.NoError(t, confmap.Validate(config))
	}
}

func TestPipelinesAreValid(t *testing.T) {
	d := demo{folder: filepath.Join(t.TempDir(), "demo")}
	require.NoError(t, d.prepare())
	f, err := fleet.Open(fleet.Settings{Folder: filepath.Join(d.folder, "pipelines"), StateFile: filepath.Join(d.folder, "fleet.db")})
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	list := f.Pipelines()
	require.Len(t, list, 3)
	rules := confinement.Rules{}
	for _, p := range list {
		require.Empty(t, p.Error, p.Name)
		v, err := f.Pipeline(p.Name)
		require.NoError(t, err)
		var parsed struct {
			Config map[string]any `yaml:"config"`
		}
		require.NoError(t, yaml.Unmarshal([]byte(v.Content), &parsed))
		require.NoError(t, rules.CheckRaw(parsed.Config), p.Name) // collectors permit all of it by default
	}
}

// notifyingWriter closes done with the first write.
type notifyingWriter struct {
	bytes.Buffer
	once sync.Once
	done chan struct{}
}

func (w *notifyingWriter) Write(p []byte) (int, error) {
	defer w.once.Do(func() { close(w.done) })
	return w.Buffer.Write(p)
}

// script stands in for a binary.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return path
}

func TestRunStartsAndEndsAll(t *testing.T) {
	server := newReadyServer(t)
	out := &notifyingWriter{done: make(chan struct{})}
	sleeper := script(t, "echo \"$@\"; trap 'echo ended; exit 0' TERM; while :; do sleep 0.05; done")
	d := demo{fleet: sleeper, invar: sleeper, folder: filepath.Join(t.TempDir(), "demo"), listen: server, out: out}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- d.run(ctx) }()
	<-out.done
	for _, name := range []string{"fleet", "dev", "staging", "prod"} { // each has begun
		require.Eventually(t, func() bool {
			log, err := os.ReadFile(d.log(name))
			return err == nil && strings.Contains(string(log), "--")
		}, waitFor, poll, name)
	}
	cancel()
	require.NoError(t, <-result)
	for _, name := range []string{"fleet", "dev", "staging", "prod"} {
		log, err := os.ReadFile(d.log(name))
		require.NoError(t, err)
		require.Contains(t, string(log), "ended", name)
	}
	require.Contains(t, out.String(), "http://"+server)
}

func TestRunNamesTheProcessThatEnded(t *testing.T) {
	d := demo{fleet: script(t, "while :; do sleep 0.05; done"), invar: script(t, "exit 3"), folder: filepath.Join(t.TempDir(), "demo"), listen: newReadyServer(t), out: &bytes.Buffer{}}
	require.ErrorContains(t, d.run(t.Context()), "exit status 3")
	d.fleet = filepath.Join(t.TempDir(), "none")
	require.ErrorContains(t, d.run(t.Context()), "make fleet build")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, taken.Close())
	d.fleet, d.listen = script(t, "exit 4"), taken.Addr().String()
	require.ErrorContains(t, d.run(t.Context()), "exit status 4")
}
