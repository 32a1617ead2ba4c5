package rwsink

import (
	"fmt"
	"testing"
)

// BenchmarkCount and BenchmarkDecode take a request of 2,000 series with 8
// labels and one sample each, as scrapers send them.
func BenchmarkCount(b *testing.B) {
	timeBodies(b, func(v version, body []byte) error {
		_, err := count(v, body)
		return err
	})
}

func BenchmarkDecode(b *testing.B) {
	var r request
	timeBodies(b, r.decode)
}

func timeBodies(b *testing.B, f func(version, []byte) error) {
	const n = 2000
	var all []sent
	for i := range n {
		labels := []string{nameLabel, "http_requests_total"}
		for l := range 7 {
			labels = append(labels, fmt.Sprintf("label_%d", l), fmt.Sprintf("value_%d", i>>l))
		}
		all = append(all, sent{labels: labels, samples: []Sample{{T: 1_700_000_000_000 + int64(i), V: float64(i)}}})
	}
	run := func(name string, v version, body []byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(v, body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
		})
	}
	run("1.0", v1, encodeV1(all...))
	run("2.0", v2, encodeV2(all...))
}
