package elfsymbols

import (
	"fmt"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// Demangle says how the names of C++ and Rust functions are shown. Other names
// are shown as they are in any case.
type Demangle string

// The ways to show a name, with std::vector<int>::push_back(int const&) as the
// example.
const (
	// DemangleNone shows it as it is in the file: _ZNSt6vectorIiSaIiEE9push_backERKi.
	DemangleNone Demangle = "none"
	// DemangleSimplified leaves out parameters, template or generic arguments and
	// return types: std::vector::push_back. This is what the empty value means.
	DemangleSimplified Demangle = "simplified"
	// DemangleFull shows all: std::vector<int, std::allocator<int> >::push_back(int const&).
	DemangleFull Demangle = "full"
)

// Validate tells whether d is one of the ways.
func (d Demangle) Validate() error {
	switch d {
	case "", DemangleNone, DemangleSimplified, DemangleFull:
		return nil
	}
	return fmt.Errorf("%q is no way to demangle; use none, simplified or full", string(d))
}

const (
	// maxMangled is how long a name may be that is demangled, in bytes. The
	// demangler recurses, and a name from a hostile file is made to take its
	// time; see TestDemangleHostileNames.
	maxMangled = 4 << 10
	// maxShown is the power of two that a demangled name is cut at.
	maxShown = 12
)

// Name returns the name to show for one from a symbol table. What cannot be
// demangled is returned as it is.
func (d Demangle) Name(name string) string {
	if d == DemangleNone || len(name) > maxMangled || !mangled(name) {
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

// emptyGenerics removes the brackets that the demangler leaves of the generic
// arguments of a function in Rust.
var emptyGenerics = strings.NewReplacer("::<>", "", "<>", "")

// demangled is demangle.ToString. Internal errors of the demangler, which it
// reports by a panic, are errors as well.
func demangled(name string, options []demangle.Option) (shown string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("demangle: %v", r)
		}
	}()
	return demangle.ToString(name, options...)
}

// mangled tells whether the name can be a mangled one, without an effort.
func mangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") ||
		strings.HasPrefix(name, "___Z") || strings.HasPrefix(name, "_GLOBAL_")
}

// isLegacyRust tells a name of Rust's older mangling, which is that of C++ with a
// hash as its last part: 17h and 16 hexadecimal digits.
func isLegacyRust(name string) bool {
	if i := strings.LastIndex(name, "E."); i > 0 {
		name = name[:i+1]
	}
	const tail = len("17h0123456789abcdefE")
	return strings.HasPrefix(name, "_ZN") && len(name) > tail && strings.HasSuffix(name, "E") &&
		strings.HasPrefix(name[len(name)-tail:], "17h") && strings.Trim(name[len(name)-tail+3:len(name)-1], "0123456789abcdef") == ""
}

// withoutGenerics removes generic arguments from a name of Rust's older mangling,
// which has them as a part of the text: those brackets that follow a name, not
// those around a type and its trait.
func withoutGenerics(name string) string {
	var b strings.Builder
	depth := 0 // of brackets which are removed
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
		return name // not as it should be: better too much than nonsense
	}
	return b.String()
}

func isIdentifier(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c >= 0x80
}
