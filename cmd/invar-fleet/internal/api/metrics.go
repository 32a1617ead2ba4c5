package api

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
)

var (
	collectorsDesc = prometheus.NewDesc("invar_fleet_collectors",
		"Collectors: those away, and those online by what became of what they are offered.", []string{"state"}, nil)
	pipelineDesc = prometheus.NewDesc("invar_fleet_pipeline_collectors",
		"Online collectors that are offered the pipeline, by what became of it.", []string{"pipeline", "state"}, nil)
	activeDesc = prometheus.NewDesc("invar_fleet_pipeline_active",
		"1 if collectors get the pipeline.", []string{"pipeline"}, nil)
	percentDesc = prometheus.NewDesc("invar_fleet_rollout_percent",
		"The share of collectors that the newest rollout of the pipeline has reached.", []string{"pipeline"}, nil)
	haltedDesc = prometheus.NewDesc("invar_fleet_rollout_halted",
		"1 if the newest rollout of the pipeline was halted by failures.", []string{"pipeline"}, nil)
	fileErrorDesc = prometheus.NewDesc("invar_fleet_pipeline_file_error",
		"1 if the pipeline's file is not in force because of an error in it.", []string{"pipeline"}, nil)
	saveErrorsDesc = prometheus.NewDesc("invar_fleet_state_save_errors_total",
		"How often the state could not be saved.", nil, nil)
)

// fleetMetrics reads the fleet with every scrape.
type fleetMetrics struct{ fleet *fleet.Fleet }

// Describe implements prometheus.Collector.
func (m fleetMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{collectorsDesc, pipelineDesc, activeDesc, percentDesc, haltedDesc, fileErrorDesc, saveErrorsDesc} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m fleetMetrics) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	flag := func(d *prometheus.Desc, on bool, labels ...string) {
		value := 0
		if on {
			value = 1
		}
		gauge(d, value, labels...)
	}
	s := m.fleet.Summary()
	gauge(collectorsDesc, s.Collectors-s.Online, "offline")
	gauge(collectorsDesc, s.Applied, "applied")
	gauge(collectorsDesc, s.Failed, "failed")
	gauge(collectorsDesc, s.Pending, "pending")
	c <- prometheus.MustNewConstMetric(saveErrorsDesc, prometheus.CounterValue, float64(s.SaveErrors))
	for _, p := range m.fleet.Pipelines() {
		gauge(pipelineDesc, p.Collectors.Offered.Applied, p.Name, "applied")
		gauge(pipelineDesc, p.Collectors.Offered.Applying, p.Name, "applying")
		gauge(pipelineDesc, p.Collectors.Offered.Failed, p.Name, "failed")
		gauge(pipelineDesc, p.Collectors.Offered.Pending, p.Name, "pending")
		flag(activeDesc, p.Active, p.Name)
		gauge(percentDesc, p.Percent, p.Name)
		flag(haltedDesc, p.Rollout.State == rollout.Halted, p.Name)
		flag(fileErrorDesc, p.Error != "", p.Name)
	}
}

func (a *server) newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(a.durations, fleetMetrics{a.Fleet}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
