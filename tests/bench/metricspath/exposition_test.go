package main

import (
	"bytes"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// TestExposition parses the page with Prometheus' own parser.
func TestExposition(t *testing.T) {
	f := func(series int) {
		t.Helper()
		e := newExposition(series)
		require.Equal(t, series, e.series)
		first, second := e.appendTo(nil, 1), e.appendTo(nil, 2)
		require.Len(t, second, len(first))
		lines, changed, labels := 0, 0, 0
		a, b := strings.Split(string(first), "\n"), strings.Split(string(second), "\n")
		for i := range a {
			if strings.HasPrefix(a[i], "#") || a[i] == "" {
				require.Equal(t, a[i], b[i])
				continue
			}
			lines++
			if a[i] != b[i] {
				changed++
			}
		}
		require.Equal(t, series, lines)
		require.Equal(t, series, changed)

		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(second))
		require.NoError(t, err)
		unique := map[string]bool{}
		types := map[dto.MetricType]int{}
		for _, family := range families {
			types[family.GetType()] += len(family.GetMetric())
			for _, m := range family.GetMetric() {
				key := family.GetName() + m.String()
				require.False(t, unique[key])
				unique[key] = true
				labels = max(labels, len(m.GetLabel()))
				var below uint64
				for _, bucket := range m.GetHistogram().GetBucket() {
					require.GreaterOrEqual(t, bucket.GetCumulativeCount(), below)
					below = bucket.GetCumulativeCount()
				}
				require.Equal(t, below, m.GetHistogram().GetSampleCount())
			}
		}
		require.Equal(t, 5, labels)
		if series >= 100 {
			require.Len(t, types, 3)
			require.InDelta(t, 110, len(first)/series, 20)
		}
	}
	f(1)
	f(100)
	f(500)
	f(2000)
}

func BenchmarkExposition(b *testing.B) {
	e := newExposition(2000)
	var page []byte
	for b.Loop() {
		page = e.appendTo(page[:0], uint64(b.N))
	}
}
