package nativescrape

import (
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/prometheus/prometheus/model/value"
)

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseValue parses a sample's value. Like Prometheus' parsers it accepts what
// strconv.ParseFloat does, except underscores and hexadecimal, and reports whether
// it has.
func parseValue(b []byte) (float64, bool) {
	// With up to 15 digits, the digits as an integer and the power of ten are both
	// exact, so one division rounds correctly.
	var mantissa uint64
	digits, point := 0, -1
	rest := b
	negative := false
	if len(rest) > 0 && rest[0] == '-' {
		negative, rest = true, rest[1:]
	}
	for i, c := range rest {
		switch {
		case '0' <= c && c <= '9':
			mantissa = mantissa*10 + uint64(c-'0')
			if digits++; digits > 15 {
				return parseSlow(b)
			}
		case c == '.' && point < 0:
			point = i
		default:
			return parseSlow(b)
		}
	}
	if digits == 0 {
		return parseSlow(b)
	}
	v := float64(mantissa)
	if point >= 0 {
		v /= pow10[len(rest)-point-1]
	}
	if negative {
		v = -v
	}
	return v, true
}

// parseSlow parses the values that parseValue does not handle itself.
func parseSlow(b []byte) (float64, bool) {
	s := unsafe.String(unsafe.SliceData(b), len(b)) // not retained
	if strings.ContainsAny(s, "pPxX_") {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, false
	}
	if math.IsNaN(v) {
		v = math.Float64frombits(value.NormalNaN)
	}
	return v, true
}
