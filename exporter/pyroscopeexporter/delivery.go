package pyroscopeexporter

import (
	"context"

	"github.com/invar-otel/invar/internal/push"
)

// delivery is one attempt to send a batch.
type delivery struct {
	exporter *pyroscopeExporter
	delays   push.Delays
}

// send sends every tenant's series. A tenant that has to wait does not hold back
// the others.
func (d *delivery) send(ctx context.Context, b *batch) {
	for more := true; more && d.delays.Empty(); {
		var series []*tenantSeries
		series, more = d.gather(b)
		for _, t := range series {
			d.delays.Add(d.sendTenant(ctx, t))
		}
	}
}

// sendTenant sends series in requests of the allowed size, in turn, until one has to
// wait. It builds messages as it needs them, so that only those of one request are in
// memory.
func (d *delivery) sendTenant(ctx context.Context, t *tenantSeries) error {
	valid := push.ValidTenant(t.tenant)
	r := &request{delivery: d, tenant: t.tenant}
	size := 0
	for _, s := range t.series {
		if !valid { // it comes from the data, which would wait forever
			for _, u := range s.units {
				d.refuseProfiles(push.Refusal{Reason: push.InvalidTenant}, t.tenant, s.text, u.profiles...)
			}
			continue
		}
		limit := d.exporter.pusher.SizeLimit()
		messages, err := d.build(t.tenant, s, s.units, limit)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if len(r.messages) > 0 && size+m.raw > limit {
				if err := d.exporter.pusher.Send(ctx, r); err != nil {
					return err
				}
				r, size = &request{delivery: d, tenant: t.tenant}, 0
			}
			r.messages = append(r.messages, m)
			size += m.raw
		}
	}
	if len(r.messages) == 0 {
		return nil
	}
	return d.exporter.pusher.Send(ctx, r)
}

// refuseProfiles drops profiles that are in no message.
func (d *delivery) refuseProfiles(why push.Refusal, tenant, labels string, profiles ...trackedProfile) {
	samples := 0
	for _, p := range profiles {
		*p.isDone = true
		samples += p.profile.Samples().Len()
	}
	d.exporter.pusher.Refused(why, samples, tenant, labels)
}
