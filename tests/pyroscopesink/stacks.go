package pyroscopesink

import (
	"slices"

	"github.com/google/pprof/profile"
)

// Stack is the stack of a sample, outermost function first, and its value.
type Stack struct {
	Functions []string
	Value     int64
}

// Stacks returns the samples of profiles with their values of a sample type. A location
// without a function becomes "?".
func Stacks(profiles []Profile, sampleType string) []Stack {
	var stacks []Stack
	for _, p := range profiles {
		column := slices.IndexFunc(p.Pprof.SampleType, func(v *profile.ValueType) bool { return v.Type == sampleType })
		if column < 0 {
			continue
		}
		for _, s := range p.Pprof.Sample {
			stack := Stack{Value: s.Value[column]}
			for _, l := range slices.Backward(s.Location) {
				if len(l.Line) == 0 {
					stack.Functions = append(stack.Functions, "?")
				}
				for _, line := range slices.Backward(l.Line) {
					stack.Functions = append(stack.Functions, line.Function.Name)
				}
			}
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// Has reports whether the stack contains functions next to each other, each called by
// the one before it.
func (s Stack) Has(functions ...string) bool {
	for i := range s.Functions {
		if len(s.Functions)-i >= len(functions) && slices.Equal(s.Functions[i:i+len(functions)], functions) {
			return true
		}
	}
	return false
}

// Share returns the total value of stacks, and the share of it, from 0 to 1, of the
// stacks for which want returns true.
func Share(stacks []Stack, want func(Stack) bool) (share float64, total int64) {
	var part int64
	for _, s := range stacks {
		total += s.Value
		if want(s) {
			part += s.Value
		}
	}
	if total == 0 {
		return 0, 0
	}
	return float64(part) / float64(total), total
}
