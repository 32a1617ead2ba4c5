package pyroscopeexporter

import "context"

// maxDivisions bounds the requests that are spent on finding what is wrong with
// one. What is left when they are used up is dropped, and counted.
const maxDivisions = 1000

// noLimit lets a message be as large as its units make it.
const noLimit = int(^uint(0) >> 1)

// sendOrDivide sends a request. Pyroscope refuses a request as a whole, so if it
// does that for good, halves are sent until the messages at fault are alone;
// these are dropped.
func (d *delivery) sendOrDivide(ctx context.Context, tenant string, messages []*message) *later {
	left := maxDivisions
	return d.judged(ctx, tenant, messages, d.send(ctx, tenant, messages), &left)
}

func (d *delivery) judged(ctx context.Context, tenant string, messages []*message, a answer, left *int) *later {
	if a.verdict != refused {
		return a.later
	}
	if *left <= 0 {
		for _, m := range messages {
			d.refuse(tenant, m, a)
		}
		return nil
	}
	if len(messages) == 1 {
		return d.divideMessage(ctx, tenant, messages[0], a, left)
	}
	half := len(messages) / 2
	if l := d.sendPart(ctx, tenant, messages[:half], left); l != nil {
		return l
	}
	return d.sendPart(ctx, tenant, messages[half:], left)
}

// divideMessage divides a message that is too large into two, if it has several
// units; otherwise it is dropped.
func (d *delivery) divideMessage(ctx context.Context, tenant string, m *message, a answer, left *int) *later {
	tooLarge := a.reason == sizeLimit || a.reason == samplesLimit || a.reason == bodyTooLarge
	if !tooLarge || len(m.units) == 1 {
		d.refuse(tenant, m, a)
		return nil
	}
	half := len(m.units) / 2
	for _, units := range [][]unit{m.units[:half], m.units[half:]} {
		messages, err := d.build(tenant, m.series, units, noLimit)
		if err != nil {
			return &later{err: err}
		}
		if len(messages) == 0 {
			continue
		}
		if l := d.sendPart(ctx, tenant, messages, left); l != nil {
			return l
		}
	}
	return nil
}

// sendPart sends what was part of a refused request.
func (d *delivery) sendPart(ctx context.Context, tenant string, messages []*message, left *int) *later {
	*left--
	d.tel.dividedRequest()
	return d.judged(ctx, tenant, messages, d.send(ctx, tenant, messages), left)
}
