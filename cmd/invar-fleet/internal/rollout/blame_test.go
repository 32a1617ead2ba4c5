package rollout

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestBlamed(t *testing.T) {
	set := []string{"logs", "old", "shop", "shop_debug"}
	candidates := []string{"logs", "shop", "shop_debug"}
	f := func(text string, want ...string) {
		t.Helper()
		require.Equal(t, want, Blamed(text, set, candidates), text)
	}
	// What this version's collectors report.
	f(remoteconf.FailureText([]string{"shop"}, "start: no logs can be read"), "shop")
	f(remoteconf.FailureText([]string{"shop"}, "start: logs: x\nlogs: y\npipelines::logs: z"), "shop")
	f(remoteconf.FailureText([]string{"logs"}, "start: shop is closed"), "logs")
	f(remoteconf.FailureText([]string{"shop", "logs"}, "x"), "logs", "shop")
	f(remoteconf.FailureText([]string{"old"}, "logs: x")) // no candidate
	f("the last known good configuration does not start: "+remoteconf.FailureText([]string{"shop"}, "logs: x"), "shop")

	// What earlier versions and other agents report.
	f("pipelines::shop::receivers: logs", "shop")
	f("shop: the receiver for logs does not start", "shop")
	f("x\nshop: y\nlogs: z", "logs", "shop")
	f(`pipeline "shop_debug": unknown key`, "shop_debug")
	f("old: the file is locked")
	f("there is no room for logs", candidates...)
	f(`service::pipelines::logs: references exporter "x"`, candidates...)
	f(`no "logs" receiver`, candidates...)
	f("shop_debugger: x", candidates...)
	f("workshop: x", candidates...)
	f("", candidates...)
	f(remoteconf.FailureText([]string{"local"}, "x"), candidates...) // not in the set
}
