package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// peer is a program that scrapes and sends remote write.
type peer struct {
	name string
	// perScrape is the number of series it adds to a scrape: up,
	// scrape_duration_seconds and so on.
	perScrape int
	// command returns a command without a working directory.
	command func(setup) (*exec.Cmd, error)
}

// setup has the values that a peer's configuration needs.
type setup struct {
	dir       string // its own, where it may write
	bin       string // with the binaries
	targets   string // address of the generator
	count     int
	interval  time.Duration
	writeURL  string
	ownAddr   string // for its own metrics
	pprofAddr string // for profiles of it, or ""
}

// Prometheus' own report series; vmagent has two more.
const (
	reportSeries        = 5
	vmagentReportSeries = 7
)

var peers = []peer{
	{"invar", reportSeries, invar},
	{"prometheus-agent", reportSeries, prometheusAgent},
	{"otel-batch", reportSeries, otelBatch},
	{"otel-wal", reportSeries, otelWAL},
	{"vmagent", vmagentReportSeries, vmagent},
}

func choosePeers(names string) ([]peer, error) {
	var chosen []peer
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(peers, func(p peer) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("peers: %q is none of invar, prometheus-agent, otel-batch, otel-wal, vmagent", name)
		}
		chosen = append(chosen, peers[i])
	}
	return chosen, nil
}

// object is a piece of configuration; JSON is YAML too.
type object map[string]any

func (s setup) write(name string, config object) (string, error) {
	text, err := json.MarshalIndent(config, "", " ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, name)
	return file, os.WriteFile(file, text, 0o600)
}

// scrapeConfigs returns a configuration with one target per page. All have the same
// address and differ in the label instance.
func (s setup) scrapeConfigs() []object {
	static := make([]object, s.count)
	for i := range static {
		static[i] = object{
			"targets": []string{s.targets},
			"labels":  object{"__metrics_path__": path(i), "instance": fmt.Sprintf("host-%04d.example.com:9100", i)},
		}
	}
	return []object{{
		"job_name": "bench", "static_configs": static,
		"scrape_interval": s.interval.String(), "scrape_timeout": s.interval.String(),
	}}
}

// collector returns the configuration of one metrics pipeline in bin/invar, whose
// upstream components are those of otelcol-contrib.
func (s setup) collector(receiver, exporter string, exporterConfig, processors object) (*exec.Cmd, error) {
	host, port, _ := strings.Cut(s.ownAddr, ":")
	service := object{
		"telemetry": object{
			"logs": object{"level": "warn"},
			"metrics": object{"level": "basic", "readers": []object{
				{"pull": object{"exporter": object{"prometheus": object{"host": host, "port": json.Number(port)}}}},
			}},
		},
		"pipelines": object{"metrics": object{
			"receivers": []string{receiver}, "exporters": []string{exporter}, "processors": slices.Collect(maps.Keys(processors)),
		}},
	}
	config := object{
		"receivers":  object{receiver: object{"config": object{"scrape_configs": s.scrapeConfigs()}}},
		"exporters":  object{exporter: exporterConfig},
		"processors": processors,
		"service":    service,
	}
	if s.pprofAddr != "" {
		config["extensions"] = object{"pprof": object{"endpoint": s.pprofAddr}}
		service["extensions"] = []string{"pprof"}
	}
	file, err := s.write("config.yaml", config)
	return exec.Command(filepath.Join(s.bin, "invar"), "--config", file), err
}

func invar(s setup) (*exec.Cmd, error) {
	return s.collector("prometheus_scrape", "prometheus_wal", object{
		"endpoint": s.writeURL,
		"wal":      object{"directory": filepath.Join(s.dir, "wal")},
	}, object{})
}

// otelQueue has as many senders as are needed to keep up with the load. The default queue
// holds 1,000 batches of 8,192 samples.
var otelQueue = object{"enabled": true, "num_consumers": 10, "queue_size": 10_000}

func otelBatch(s setup) (*exec.Cmd, error) {
	return s.collector("prometheus", "prometheus_remote_write", object{
		"endpoint": s.writeURL, "remote_write_queue": otelQueue,
	}, object{"batch": object{}})
}

func otelWAL(s setup) (*exec.Cmd, error) {
	return s.collector("prometheus", "prometheus_remote_write", object{
		"endpoint": s.writeURL, "remote_write_queue": otelQueue,
		"wal": object{"directory": filepath.Join(s.dir, "wal")},
	}, object{"batch": object{}})
}

func prometheusAgent(s setup) (*exec.Cmd, error) {
	file, err := s.write("prometheus.yml", object{
		"scrape_configs": s.scrapeConfigs(), "remote_write": []object{{"url": s.writeURL}},
	})
	return exec.Command(filepath.Join(s.bin, "servers", "prometheus"), "--agent", "--config.file="+file,
		"--storage.agent.path="+filepath.Join(s.dir, "wal"), "--web.listen-address="+s.ownAddr, "--log.level=warn"), err
}

// errNotSupplied is returned for a peer that is not part of this repository if its path is
// not set.
type errNotSupplied string

func (e errNotSupplied) Error() string {
	return string(e) + " was not supplied: set VMAGENT to its path"
}

func vmagent(s setup) (*exec.Cmd, error) {
	binary := os.Getenv("VMAGENT")
	if binary == "" {
		return nil, errNotSupplied("vmagent")
	}
	file, err := s.write("prometheus.yml", object{"scrape_configs": s.scrapeConfigs()})
	// Without the flag vmagent first tries its own protocol, which only
	// VictoriaMetrics supports.
	return exec.Command(binary, "-promscrape.config="+file, "-remoteWrite.url="+s.writeURL, "-remoteWrite.forcePromProto",
		"-remoteWrite.tmpDataPath="+filepath.Join(s.dir, "wal"), "-httpListenAddr="+s.ownAddr, "-loggerLevel=WARN"), err
}
