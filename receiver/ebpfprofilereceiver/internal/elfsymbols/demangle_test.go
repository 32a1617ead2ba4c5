package elfsymbols

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDemangle(t *testing.T) {
	f := func(name, simplified, full string) {
		t.Helper()
		require.Equal(t, name, DemangleNone.Name(name))
		require.Equal(t, simplified, DemangleSimplified.Name(name))
		require.Equal(t, simplified, Demangle("").Name(name))
		require.Equal(t, full, DemangleFull.Name(name))
	}
	f("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector::push_back", "std::vector<int, std::allocator<int> >::push_back(int const&)")
	f("_Z3foov", "foo", "foo()")
	f("_Z3maxIiET_S0_S0_", "max", "int max<int>(int, int)")
	f("_ZN4shop4CartIiED0Ev", "shop::Cart::~Cart", "shop::Cart<int>::~Cart()")
	f("_ZNK4shop4CartIiEltERKS1_", "shop::Cart::operator<", "shop::Cart<int>::operator<(shop::Cart<int> const&) const")
	f("_ZZ5entryiENKUliE_clEi", "entry()::{lambda(int)#1}::operator()", "entry(int)::{lambda(int)#1}::operator()(int) const")
	f("_Z3foov.cold", "foo", "foo() [clone .cold]")
	f("_ZTv0_n24_N4shop4CartIiED1Ev", "virtual thunk to shop::Cart::~Cart()", "virtual thunk to shop::Cart<int>::~Cart()")

	// Rust, older mangling.
	f("_ZN4main6kennel3all17h0123456789abcdefE", "main::kennel::all", "main::kennel::all")
	f("_ZN4main6kennel3all17h0123456789abcdefE.llvm.123", "main::kennel::all", "main::kennel::all")
	f("_ZN50_$LT$main..Dog$LT$T$GT$$u20$as$u20$main..Speak$GT$5speak17h0123456789abcdefE",
		"<main::Dog as main::Speak>::speak", "<main::Dog<T> as main::Speak>::speak")
	f("_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE",
		"core::ptr::drop_in_place", "core::ptr::drop_in_place<alloc::string::String>")
	// Rust, mangling v0.
	f("_RNvNtCskK7mfDs1mzF_1m6kennel3all", "m::kennel::all", "m::kennel::all")
	f("_RINvNtCskK7mfDs1mzF_1m6kennel4pickNtNtCslNYArtu3iFV_5alloc6string6StringEB4_",
		"m::kennel::pick", "m::kennel::pick::<alloc::string::String>")
	f("_RNvXCskK7mfDs1mzF_1mINtB2_3DogReENtB2_5Speak5speakB2_", "<m::Dog as m::Speak>::speak", "<m::Dog<&str> as m::Speak>::speak")
	f("_RINvNtC3std3mem8align_ofjE", "std::mem::align_of", "std::mem::align_of::<usize>")

	// Unchanged.
	for _, name := range []string{"main", "_start", "memcpy", "_Z", "_ZZZZ", "_R", "foo.cold", "_ZN4shop", "runtime.mallocgc", "___Zx", "_GLOBAL_",
		"_Z" + strings.Repeat("9", 100), "_Z3foov" + strings.Repeat("v", maxMangled)} {
		f(name, name, name)
	}
}

func TestDemangleValidate(t *testing.T) {
	for _, d := range []Demangle{"", DemangleNone, DemangleSimplified, DemangleFull} {
		require.NoError(t, d.Validate())
	}
	require.EqualError(t, Demangle("all").Validate(), `"all" is no way to demangle; use none, simplified or full`)
}

func TestWithoutGenerics(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		require.Equal(t, want, withoutGenerics(name))
	}
	f("a::b", "a::b")
	f("a::b<c, d<e>>::f", "a::b::f")
	f("<a<b> as c<d>>::e", "<a as c>::e")
	f("<fn(a<b>) -> c as d>::e", "<fn(a) -> c as d>::e")
	f("a<fn(b) -> c>::d", "a::d")
	f("<[a] as b>::c", "<[a] as b>::c")
	f("a<b", "a<b")
}

// Names that are designed to take much time or memory yield short results.
func TestDemangleHostileNames(t *testing.T) {
	fill := func(before, repeated, after string) string {
		return before + strings.Repeat(repeated, (maxMangled-len(before)-len(after))/len(repeated)) + after
	}
	double := func() string { // every argument is a pair of the previous one
		var b strings.Builder
		b.WriteString("_Z1f1aIcc")
		b.WriteString("E")
		for i := range 30 {
			seq := string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i])
			b.WriteString("1aIS" + seq + "_S" + seq + "_E")
		}
		return b.String()
	}()
	for _, name := range []string{
		fill("_Z1f", "P", "i"), fill("_Z1f", "PF", "i"), fill("_Z1f", "1aI", ""), fill("_Z1f", "1aI", "i"+strings.Repeat("E", 800)),
		fill("_Z", "N", ""), fill("_ZN", "1a", "E"), fill("_Z1fI", "T_", "E"), fill("_Z1f", "DpT_", ""), fill("_Z", "Z1f", ""),
		fill("_Z1fIXadL_Z", "XadL_Z", ""), fill("_Z1fDT", "cl", ""), fill("_Z1fI", "J", "E"), fill("_Z1f", "S_", ""), double,
		fill("_RI", "I", ""), fill("_RNv", "Nv", "C1a1b"), fill("_RINvC1a1b", "T", "E"), fill("_RINvC1a1bT", "R", "hEE"), fill("_RINvC1a1b", "B_", "E"),
		fill("_RINvC1a1b", "TB9_B9_", "E"), fill("_RNvC1au", "9", "_a"), fill("_ZN", "1$", "17h0123456789abcdefE"), fill("___Z", "P", "_block_invoke"),
		fill("_GLOBAL_", "_I_", "_Z1f"), fill("_Z", "GV", "1a"), fill("_ZTv0_n", "9", "_1f"),
	} {
		for _, d := range []Demangle{DemangleSimplified, DemangleFull} {
			require.LessOrEqual(t, len(d.Name(name)), maxMangled)
		}
	}
}
