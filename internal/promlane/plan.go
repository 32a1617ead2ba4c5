package promlane

import (
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
)

// Lane is how the samples of a receiver reach the exporters.
type Lane string

// The lanes. Auto lets Plan choose one.
const (
	Auto   Lane = "auto"
	Native Lane = "native"
	Pdata  Lane = "pdata"
)

// The component types that know the native lane.
var (
	receiverTypes = []string{"prometheus_scrape"}
	exporterTypes = []string{"prometheus_wal"}
)

// Decision is the lane of one receiver.
type Decision struct {
	Receiver  string
	Lane      Lane
	Exporters []string // of the native lane, sorted
	Reason    string
}

// Plan decides the lane of every receiver that knows lanes, from an effective
// configuration. A receiver is native if none of its pipelines has a processor and
// all of their exporters accept native samples. There is nothing in between, so
// nothing is sent twice. Plan returns an error that names the obstacle if a
// receiver is configured as native but cannot be.
func Plan(conf map[string]any) ([]Decision, error) {
	receivers := section(conf, "receivers")
	pipelines := section(section(conf, "service"), "pipelines")
	var ds []Decision
	for _, id := range sortedKeys(receivers) {
		if !slices.Contains(receiverTypes, typeOf(id)) {
			continue
		}
		configured, set := section(receivers, id)["lane"]
		if set && configured != string(Auto) && configured != string(Native) && configured != string(Pdata) {
			continue // the validation of the receiver reports it
		}
		d, err := decide(id, configured, pipelines)
		if err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	return ds, nil
}

func decide(id string, configured any, pipelines map[string]any) (Decision, error) {
	d := Decision{Receiver: id, Lane: Native}
	obstacle := ""
	memberships := 0
	for _, name := range sortedKeys(pipelines) {
		p := section(pipelines, name)
		if !slices.Contains(names(p, "receivers"), id) {
			continue
		}
		memberships++
		if procs := names(p, "processors"); len(procs) > 0 && obstacle == "" {
			obstacle = fmt.Sprintf("processor %q in pipeline %q needs pdata", procs[0], name)
		}
		for _, e := range names(p, "exporters") {
			if !slices.Contains(exporterTypes, typeOf(e)) {
				if obstacle == "" {
					obstacle = fmt.Sprintf("exporter %q in pipeline %q needs pdata", e, name)
				}
				continue
			}
			if !slices.Contains(d.Exporters, e) {
				d.Exporters = append(d.Exporters, e)
			}
		}
	}
	if memberships == 0 {
		obstacle = "the receiver is in no pipeline"
	}
	slices.Sort(d.Exporters)
	switch {
	case configured == string(Pdata):
		return Decision{Receiver: id, Lane: Pdata, Reason: "configured"}, nil
	case configured == string(Native) && obstacle != "" && memberships > 0:
		return d, fmt.Errorf("receivers::%s::lane: native is not possible: %s; remove it, or use auto", id, obstacle)
	case obstacle != "":
		return Decision{Receiver: id, Lane: Pdata, Reason: obstacle}, nil
	}
	d.Reason = "no processor, and every exporter takes native samples"
	return d, nil
}

// typeOf returns the type of a component from its ID.
func typeOf(id string) string {
	t, _, _ := strings.Cut(id, "/")
	return strings.TrimSpace(t)
}

func section(m map[string]any, key string) map[string]any {
	s, _ := m[key].(map[string]any)
	return s
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// names returns a list of component IDs in the collector's notation.
func names(m map[string]any, key string) []string {
	list, _ := m[key].([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		name := fmt.Sprint(v)
		var id component.ID
		if id.UnmarshalText([]byte(name)) == nil {
			name = id.String()
		}
		out = append(out, name)
	}
	return out
}
