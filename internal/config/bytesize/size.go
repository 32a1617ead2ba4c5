// Package bytesize reads and writes numbers of bytes in configurations.
package bytesize

import (
	"fmt"
	"strconv"

	"github.com/alecthomas/units"
)

// Size is a number of bytes, written as a plain number or like 512MiB.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		n, err = units.ParseStrictBytes(string(text))
	}
	if err != nil {
		return fmt.Errorf("%q is not a size; write it like 10GiB", text)
	}
	*s = Size(n)
	return nil
}

// String returns the form that UnmarshalText reads.
func (s Size) String() string { return units.Base2Bytes(s).String() }

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
