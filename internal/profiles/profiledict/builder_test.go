package profiledict

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Index 0 of every table is empty, and equal elements are added once.
func TestTables(t *testing.T) {
	profiles := pprofile.NewProfiles()
	b := New(profiles)
	dict := profiles.Dictionary()
	for _, n := range []int{
		dict.StringTable().Len(), dict.MappingTable().Len(), dict.LocationTable().Len(), dict.FunctionTable().Len(),
		dict.LinkTable().Len(), dict.AttributeTable().Len(), dict.StackTable().Len(),
	} {
		assert.Equal(t, 1, n)
	}
	assert.Zero(t, b.String(""))
	assert.Zero(t, b.Stack(nil))

	x := b.String("x")
	assert.Equal(t, x, b.String("x"))
	locations := []int32{1, 2}
	stack := b.Stack(locations)
	locations[0] = 9 // the caller may reuse it
	assert.Equal(t, stack, b.Stack([]int32{1, 2}))
	assert.NotEqual(t, stack, b.Stack([]int32{1, 3}))
	assert.Equal(t, []int32{1, 2}, dict.StackTable().At(int(stack)).LocationIndices().AsRaw())

	different := map[int32]bool{}
	for range 2 {
		different[b.StringAttribute("k", "1")] = true
		different[b.IntAttribute("k", 1, "")] = true
		different[b.IntAttribute("k", 1, "bytes")] = true
		different[b.BoolAttribute("k", true)] = true
		different[b.BoolAttribute("k", false)] = true
	}
	assert.Len(t, different, 5)
	assert.Equal(t, 6, dict.AttributeTable().Len())
	i, list := b.SliceAttribute("k", "")
	list.AppendEmpty().SetStr("a")
	assert.Equal(t, []any{"a"}, dict.AttributeTable().At(int(i)).Value().Slice().AsRaw())
}
