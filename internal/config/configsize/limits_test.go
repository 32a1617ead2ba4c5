package configsize

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var small = Limits{Bytes: 1000, Depth: 4, Values: 100, Paths: 10_000}

func TestParse(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		document, _, err := small.Parse([]byte(content))
		if want == "" {
			require.NoError(t, err)
			require.NotNil(t, document)
			return
		}
		require.EqualError(t, err, want)
		require.Nil(t, document)
		var limit *LimitError
		require.ErrorAs(t, err, &limit)
	}
	f("a: {b: {c: {d: 1}}}", "")
	f("a: [[[1]]]", "")
	f("a::b::c::d: 1", "")
	f("a: &a {b: 1}\nc: *a", "")
	f("- a\n- b", "")

	tooDeep := "is nested deeper than 4 levels, which is the limit"
	f("a: {b: {c: {d: {e: 1}}}}", "a::b::c::d::e: "+tooDeep)
	f("a:\n b:\n  c:\n   d:\n    e: 1", "a::b::c::d::e: "+tooDeep)
	f("a::b::c::d::e: 1", "a::b::c::d::e: "+tooDeep)
	f("a: {'b::c::d': {e: 1}}", "a::b::c::d::e: "+tooDeep)
	f("a: [[[[1]]]]", "a: "+tooDeep)
	f("[[[[[1]]]]]", "the configuration "+tooDeep)
	f("a: &a {b: *a}", "a::b::b::b::b: "+tooDeep)
	f("a: &a {b: {c: 1}}\nd: {e: {f: *a}}", "d::e::f::b::c: "+tooDeep)
	f("? {a: {b: {c: {d: 1}}}}\n: 1", "?::a::b::c::d: "+tooDeep)
	f("&k a::b::c::d: {e: 1}\n", "a::b::c::d::e: "+tooDeep)
	f("x: &k a::b::c::d\n*k : {e: 1}\n", "a::b::c::d::e: "+tooDeep)
	f("{"+strings.Repeat("x", 200)+": {b: {c: {d: {e: 1}}}}}", strings.Repeat("x", 80)+"…: "+tooDeep)

	most := "the configuration has more than 100 values, which is the limit; the first one beyond it is at "
	f("a: ["+strings.Repeat("1, ", 200)+"]", "the configuration has up to 404 values; the limit is 100")
	f("a: &a ["+strings.Repeat("1, ", 60)+"]\nb: *a", most+"b")
	f("a: &a [x, y, z, x, y, z]\nb: &b [*a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b]", most+"c")
	f(strings.Repeat("#", 1001), "the configuration has 1001 bytes; the limit is 1000")
	f("a: &a "+strings.Repeat("x", 600)+"\nb: *a", "the configuration has more than 1000 bytes of text, with what its aliases repeat, which is the limit")
	f("{"+strings.Repeat("x", 300)+": {"+strings.Repeat("a: 1, ", 40)+"}}",
		"the configuration has key paths of more than 10000 bytes altogether, which is the limit; shorten the keys above "+strings.Repeat("x", 80)+"…")
}

func TestParseNothing(t *testing.T) {
	f := func(content string) {
		t.Helper()
		document, _, err := small.Parse([]byte(content))
		require.NoError(t, err)
		require.Nil(t, document)
	}
	f("")
	f(" \n# nothing yet\n")
	_, _, err := small.Parse([]byte("a: ["))
	require.ErrorContains(t, err, "yaml:")
}

// A decoded value has the same limits as its text.
func TestCheckValue(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		var document yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(content), &document))
		var value any
		require.NoError(t, document.Decode(&value))
		size, err := small.CheckValue(value)
		if want == "" {
			require.NoError(t, err)
			ofNode, err := small.CheckNode(&document)
			require.NoError(t, err)
			require.Equal(t, ofNode.Depth, size.Depth)
			require.Equal(t, ofNode.Values, size.Values)
			require.Equal(t, ofNode.Paths, size.Paths)
			require.Equal(t, ofNode.LongestPath, size.LongestPath)
			return
		}
		require.ErrorContains(t, err, want)
	}
	f("a: {b: {c: {d: 1}}}", "")
	f("a: &a {b: [1, {c: d}]}\ne: *a", "")
	f("a: {1: {c: {d: 1}}}", "")
	f("a: {1: {c: {d: {e: 1}}}}", "a::1::c::d::e: is nested deeper than 4 levels")
	f("a: [[[[1]]]]", "a: is nested deeper than 4 levels")
	f("a::b::c::d: [1]", "a::b::c::d: is nested deeper")
	f("["+strings.Repeat("1,", 100)+"]", "more than 100 values")
	f(strings.Repeat("x", 1001), "more than 1000 bytes of text")
}

// An estimate that is too low would let expensive texts be parsed.
func FuzzMostNodes(f *testing.F) {
	for _, seed := range []string{
		"", "a: b", "[a, b, [c]]", "{a, b}", "{a: b, \"c\":d}", "? a\n? b\n: c", "- - - a", "[a: b, c]", "[? a]", "a:\n- b\n-\n- c:\n",
		"'a':\n  b", "{a:}", "{a:,b:}", "[[],{}]", "a: &x [*x]", "- !!map\n  a: |\n   x\n", "a:\tb", "{[a]:b}", "{{a}:b}", "a: - b", "-\t-\ta",
		"{*a :b}", "- :a", "[a::b]", "{a:*b}", "?", "-", ":", ": ", "{'a':'b'}", "{a: b,,}", "a:\r\n  b:\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var document yaml.Node
		if yaml.Unmarshal(content, &document) != nil {
			return
		}
		if have, predicted := nodes(&document)-1, mostNodes(content); have > predicted {
			t.Fatalf("%d nodes, %d predicted", have, predicted)
		}
	})
}

func nodes(n *yaml.Node) int {
	sum := 1
	for _, inner := range n.Content {
		sum += nodes(inner)
	}
	return sum
}

// The cost of checking the worst texts within the limits.
func BenchmarkParse(b *testing.B) {
	texts := map[string]string{
		"deep":     strings.Repeat("{a: ", 3000) + strings.Repeat("}", 3000),
		"flow":     "{" + strings.Repeat("a,", 99_000) + "}",
		"aliases":  "a: &a [" + strings.Repeat("1,", 300) + "]\nb: &b [" + strings.Repeat("*a,", 300) + "]\nc: [" + strings.Repeat("*b,", 300) + "]",
		"comments": strings.Repeat("#\n", 4<<20),
		"one text": "a: '" + strings.Repeat("x", 8<<20-10) + "'",
		"lines":    "a: |\n" + strings.Repeat(" x\n", 2<<20),
		"blank":    strings.Repeat("\n", 8<<20),
		"anchors":  "[" + strings.Repeat("&a 1,", 99_000) + "]",
		"long keys": "a: {" + func() (s string) { //nolint:perfsprint // once
			var b strings.Builder
			for i := range 30_000 {
				b.WriteString("k" + strconv.Itoa(i) + strings.Repeat("y", 200) + ": 1,")
			}
			return b.String()
		}() + "}",
	}
	for name, text := range texts {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = Remote.Parse([]byte(text))
			}
		})
	}
}
