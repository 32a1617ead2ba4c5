package configwalk

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	commonconfig "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type inner struct {
	Token configopaque.String `mapstructure:"token"`
	Next  *inner              `mapstructure:"next"`
}

type outer struct {
	inner     `mapstructure:",squash"`
	Some      configoptional.Optional[inner] `mapstructure:"some"`
	None      configoptional.Optional[inner] `mapstructure:"none"`
	Default   configoptional.Optional[inner] `mapstructure:"default"`
	Headers   configopaque.MapList           `mapstructure:"headers"`
	Any       map[string]any                 `mapstructure:"any"`
	Dynamic   any                            `mapstructure:"-"`
	List      []string                       `mapstructure:"list"`
	Password  commonconfig.Secret            `yaml:"password,omitempty"`
	URL       commonconfig.URL               `yaml:"url"`
	NoURL     commonconfig.URL               `yaml:"no_url"`
	Rest      map[string]any                 `mapstructure:",remain"`
	Regexp    *regexp.Regexp                 `mapstructure:"regexp"`
	Plain     string
	Bytes     []byte `mapstructure:"bytes"`
	unseen    string
	Unaltered []int `mapstructure:"numbers"`
}

func texts(config any) []string {
	var all []string
	Walk(config, func(path Path, v reflect.Value) bool {
		if text, is := Text(v); is && text != "" {
			all = append(all, path.String()+"="+text)
		}
		return true
	})
	slices.Sort(all)
	return all
}

func TestWalk(t *testing.T) {
	u, err := url.Parse("https://a:b@c/?d=e")
	require.NoError(t, err)
	cfg := &outer{
		inner:    inner{Token: "squashed", Next: &inner{Token: "next"}},
		Some:     configoptional.Some(inner{Token: "some"}),
		Default:  configoptional.Default(inner{Token: "default"}),
		Headers:  configopaque.MapList{{Name: "X-A", Value: "1"}, {Name: "X-B", Value: "2"}},
		Any:      map[string]any{"a": []any{"x", map[any]any{7: "y"}}},
		Dynamic:  map[string]any{"process": &inner{Token: "scraper"}},
		List:     []string{"l0", "l1"},
		Password: "secret", URL: commonconfig.URL{URL: u}, Rest: map[string]any{"more": "rest"},
		Regexp: regexp.MustCompile("hidden"), Plain: "plain", Bytes: []byte("bytes"), unseen: "unseen",
	}
	require.Equal(t, []string{
		"::any::a::0=x", "::any::a::1::7=y", "::dynamic::process::token=scraper", "::headers::X-A=1", "::headers::X-B=2",
		"::list::0=l0", "::list::1=l1", "::more=rest", "::next::token=next", "::password=secret", "::plain=plain",
		"::some::token=some", "::token=squashed", "::url=https://a:b@c/?d=e",
	}, texts(cfg))
	require.Empty(t, texts(nil))
	require.Empty(t, texts((*outer)(nil)))
}

func TestPathTellsItemsAndEntries(t *testing.T) {
	var got []string
	Walk(&outer{List: []string{"a"}, Headers: configopaque.MapList{{Name: "h", Value: "v"}}}, func(path Path, v reflect.Value) bool {
		if text, is := Text(v); is && text != "" {
			last := path[len(path)-1]
			got = append(got, fmt.Sprint(last.Name, last.Item, last.Free))
		}
		return true
	})
	require.Equal(t, []string{"hfalse true", "0true false"}, got)
}

func TestVisitStopsAndCyclesEnd(t *testing.T) {
	cycle := &inner{Token: "x"}
	cycle.Next = cycle
	require.LessOrEqual(t, len(texts(cycle)), maxDepth)

	var seen []string
	Walk(&outer{inner: inner{Next: &inner{Token: "below"}}}, func(path Path, _ reflect.Value) bool {
		seen = append(seen, path.String())
		return path.String() != "::next"
	})
	require.Contains(t, seen, "::next")
	require.False(t, slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, "::next::") }))
}
