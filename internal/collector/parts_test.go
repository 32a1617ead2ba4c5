package collector

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
)

type leaf struct{ N int }

type embedded struct {
	Inner leaf `mapstructure:"inner"`
}

type toggled struct {
	Enabled bool `mapstructure:"enabled"`
	Inner   leaf `mapstructure:"inner"`
}

type tree struct {
	Squashed  embedded `mapstructure:",squash"`
	Untagged  leaf
	Pointer   *leaf                          `mapstructure:"pointer"`
	Nil       *leaf                          `mapstructure:"nil"`
	List      []leaf                         `mapstructure:"list"`
	ByName    map[string]leaf                `mapstructure:"by_name"`
	ByID      map[component.ID]any           `mapstructure:"by_id"`
	On        configoptional.Optional[leaf]  `mapstructure:"on"`
	Off       configoptional.Optional[leaf]  `mapstructure:"off"`
	Unset     configoptional.Optional[leaf]  `mapstructure:"unset"`
	Toggles   []toggled                      `mapstructure:"toggles"`
	Not       leaf                           `mapstructure:"-"`
	Optionals []configoptional.Optional[int] `mapstructure:"optionals"`
	Circle    *tree                          `mapstructure:"circle"`
	hidden    leaf
}

func TestVisitParts(t *testing.T) {
	v := &tree{
		Pointer: &leaf{1}, List: []leaf{{2}, {3}}, ByName: map[string]leaf{"x": {4}},
		ByID: map[component.ID]any{component.MustNewIDWithName("a", "b"): leaf{5}, component.MustNewID("c"): &leaf{6}},
		On:   configoptional.Some(leaf{7}), Off: configoptional.None[leaf](), Unset: configoptional.Default(leaf{8}),
		Toggles:   []toggled{{true, leaf{10}}, {false, leaf{20}}},
		Optionals: []configoptional.Optional[int]{configoptional.Some(1)}, hidden: leaf{9},
	}
	got := map[string]int{}
	visitParts("c", v, func(path string, part any) {
		if l, ok := part.(*leaf); ok {
			got[path] += 10 + l.N
		}
	})
	require.Equal(t, map[string]int{
		"c::inner": 10, "c::untagged": 10, "c::pointer": 11, "c::list": 25, "c::by_name::x": 14,
		"c::by_id::a/b": 15, "c::by_id::c": 16, "c::on": 17, "c::toggles::inner": 20,
	}, got)
	v.Circle = v
	visitParts("c", v, func(string, any) {}) // ends
	visitParts("c", nil, func(string, any) { t.Fail() })
}

// The snapshot for extensions has no secrets: they are known by their type, by the name
// of their key, and by their value.
func TestSnapshot(t *testing.T) {
	var odd struct {
		Odd     configopaque.String  `mapstructure:"odd"`
		Headers configopaque.MapList `mapstructure:"headers"`
	}
	odd.Odd, odd.Headers = "oddsecret", configopaque.MapList{{Name: "Authorization", Value: "Bearer headersecret"}}
	cfg := &otelcol.Config{Exporters: map[component.ID]component.Config{component.MustNewID("a"): &odd}}
	conf := func(exporter map[string]any) *confmap.Conf {
		return confmap.NewFromStringMap(map[string]any{"exporters": map[string]any{"a": exporter}})
	}
	s := snapshot(cfg,
		conf(map[string]any{"odd": "[REDACTED]", "url": "https://u:p@h", "params": map[string]any{"x": "paramsecret"}}),
		conf(map[string]any{
			"odd": "pre-${env:TOKEN}", "token": "${env:TOKEN}", "headers": map[string]any{"Authorization": "Bearer headersecret"},
			"note": "has headersecret", "plain": "${env:X}", "other": "${file:a.yaml}",
		}))
	mask := "[REDACTED]"
	require.Equal(t, conf(map[string]any{"odd": mask, "url": "https://u:[REDACTED]@h", "params": map[string]any{"x": mask}}).ToStringMap(),
		s.Effective().ToStringMap())
	require.Equal(t, conf(map[string]any{
		"odd": mask, "token": "${env:TOKEN}", "headers": map[string]any{"Authorization": mask},
		"note": "has " + mask, "plain": "${env:X}", "other": "${file:a.yaml}",
	}).ToStringMap(), s.Unexpanded().ToStringMap())
	require.Nil(t, snapshot(cfg, conf(nil), nil).Unexpanded())
}
