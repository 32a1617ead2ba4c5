package pprofscrapereceiver

import (
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/metadata"
)

const attributeServiceName = "service.name"

// converter converts pprof profiles for the pipeline.
type converter struct{ version string }

// convert sets the profile's name, and the labels of the target as resource
// attributes: service_name becomes service.name, others keep their names.
func (c converter) convert(s *scraped, t *target) (pprofile.Profiles, error) {
	batch := pprofconv.NewBatch(s.budget)
	_, err := batch.Add(s.profile)
	pd := batch.Profiles()
	if err != nil {
		return pd, err
	}
	for _, rp := range pd.ResourceProfiles().All() {
		attributes := rp.Resource().Attributes()
		attributes.EnsureCapacity(t.labels.Len())
		t.labels.Range(func(l labels.Label) {
			if l.Name == labelServiceName {
				l.Name = attributeServiceName
			}
			attributes.PutStr(l.Name, l.Value)
		})
		for _, sp := range rp.ScopeProfiles().All() {
			sp.Scope().SetName(metadata.ScopeName)
			sp.Scope().SetVersion(c.version)
			pprofconv.SetName(sp, t.name)
			if t.isCumulative() {
				pprofconv.SetCumulative(sp)
			}
		}
	}
	return pd, nil
}
