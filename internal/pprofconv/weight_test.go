package pprofconv

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWeight(t *testing.T) {
	for name, data := range runtimeProfiles(t) {
		p := parsed(t, data)
		message := encode(t, p)
		weight, err := Weight(message)
		require.NoError(t, err)
		assert.InEpsilon(t, len(message), weight, 0.25, "%s: a real profile weighs about what it has", name)
	}
	empty := bytes.Repeat([]byte{fieldSample<<3 | 2, 0}, 1000)
	weight, err := Weight(empty)
	require.NoError(t, err)
	assert.Equal(t, 1000*MinElement, weight)

	message := encode(t, randomProfile(rand.New(rand.NewPCG(1, 1))))
	_, err = Weight(message[:len(message)-1])
	require.ErrorContains(t, err, "not a pprof message")
}
