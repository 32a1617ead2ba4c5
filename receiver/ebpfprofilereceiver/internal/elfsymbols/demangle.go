package elfsymbols

import (
	"fmt"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// Demangle selects how the names of C++ and Rust functions are shown. Other names are
// always shown as they are.
type Demangle string

// Values of Demangle, with std::vector<int>::push_back(int const&) as an example.
const (
	// DemangleNone shows the name as it is in the file: _ZNSt6vectorIiSaIiEE9push_backERKi.
	DemangleNone Demangle = "none"
	// DemangleSimplified omits parameters, template or generic arguments and return
	// types: std::vector::push_back. It is the default.
	DemangleSimplified Demangle = "simplified"
	// DemangleFull shows everything: std::vector<int, std::allocator<int> >::push_back(int const&).
	DemangleFull Demangle = "full"
)

// Validate implements xconfmap.Validator.
func (d Demangle) Validate() error {
	switch d {
	case "", DemangleNone, DemangleSimplified, DemangleFull:
		return nil
	}
	return fmt.Errorf("%q is no way to demangle; use none, simplified or full", string(d))
}

const (
	// maxMangled is the length in bytes up to which names are demangled. The demangler
	// recurses, and names in a hostile file may be slow to demangle; see
	// TestDemangleHostileNames.
	maxMangled = 4 << 10
	// maxShown is the length at which a demangled name is truncated, as a power of two.
	maxShown = 12
)

// Name returns the name to show for a name of a symbol table. If it cannot be demangled,
// it is returned unchanged.
func (d Demangle) Name(name string) string {
	if d == DemangleNone || len(name) > maxMangled || !isMangled(name) {
		return name
	}
	options := []demangle.Option{demangle.MaxLength(maxShown)}
	if d != DemangleFull {
		options = append(options, demangle.NoParams, demangle.NoTemplateParams, demangle.NoEnclosingParams)
	}
	shown, err := demangled(name, options)
	if err != nil || shown == "" {
		return name
	}
	switch {
	case d == DemangleFull:
	case isLegacyRust(name):
		shown = withoutGenerics(shown)
	case strings.HasPrefix(name, "_R"):
		shown = emptyGenerics.Replace(shown)
	}
	return shown
}

// emptyGenerics removes the empty brackets that the demangler leaves for generic arguments
// of Rust functions.
var emptyGenerics = strings.NewReplacer("::<>", "", "<>", "")

// demangled calls demangle.ToString and returns a panic of the demangler as an error.
func demangled(name string, options []demangle.Option) (shown string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("demangle: %v", r)
		}
	}()
	return demangle.ToString(name, options...)
}

// isMangled reports whether the name looks mangled. It is a cheap test.
func isMangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") ||
		strings.HasPrefix(name, "___Z") || strings.HasPrefix(name, "_GLOBAL_")
}

// isLegacyRust reports whether the name has Rust's older mangling: that of C++ with a hash
// as the last part, 17h and 16 hexadecimal digits.
func isLegacyRust(name string) bool {
	if i := strings.LastIndex(name, "E."); i > 0 {
		name = name[:i+1]
	}
	const tail = len("17h0123456789abcdefE")
	return strings.HasPrefix(name, "_ZN") && len(name) > tail && strings.HasSuffix(name, "E") &&
		strings.HasPrefix(name[len(name)-tail:], "17h") && strings.Trim(name[len(name)-tail+3:len(name)-1], "0123456789abcdef") == ""
}

// withoutGenerics removes generic arguments from a name of Rust's older mangling, where
// they are part of the text: brackets after an identifier, but not those around a type
// and its trait.
func withoutGenerics(name string) string {
	var b strings.Builder
	depth := 0 // of the brackets that are being removed
	for i := range len(name) {
		c := name[i]
		switch {
		case depth > 0 && c == '<':
			depth++
		case depth > 0 && c == '>' && name[i-1] != '-':
			depth--
		case depth > 0:
		case c == '<' && i > 0 && isIdentifier(name[i-1]):
			depth = 1
		default:
			b.WriteByte(c)
		}
	}
	if depth > 0 {
		return name // unbalanced: better the full name than a wrong one
	}
	return b.String()
}

func isIdentifier(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c >= 0x80
}
