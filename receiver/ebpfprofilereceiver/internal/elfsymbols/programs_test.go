package elfsymbols

import (
	"bufio"
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cSource = `
#include <stdio.h>
__attribute__((noinline)) static int helper(int n) { return n * 3; }
__attribute__((noinline)) int public_one(int n) { return helper(n) + 1; }
__attribute__((noinline, weak)) int weak_one(int n) { return helper(n) + 2; }
__attribute__((noinline, aligned(64))) int aligned_one(int n) { return helper(n) + 3; }
int alias_one(int n) __attribute__((alias("public_one")));
static int chosen(int n) { return n + 4; }
static int (*choose(void))(int) { return chosen; }
int indirect(int) __attribute__((ifunc("choose")));
int entry(int n) { printf("%d\n", n); return public_one(n) + weak_one(n) + aligned_one(n) + indirect(n); }
`

const cMain = `int entry(int); int main(void) { return entry(3) != 0; }`

const cxxSource = `
#include <map>
#include <string>
#include <vector>
namespace shop {
template <typename T> struct Cart {
	std::vector<T> items;
	__attribute__((noinline)) Cart() {}
	__attribute__((noinline)) virtual ~Cart() { items.clear(); }
	__attribute__((noinline)) void put(const T &item) { items.push_back(item); }
	__attribute__((noinline)) bool operator<(const Cart &o) const { return items < o.items; }
};
template <typename T> __attribute__((noinline)) T total(const Cart<T> &c) { T t{}; for (auto &i : c.items) t += i; return t; }
}
extern "C" __attribute__((noinline)) int entry(int n) {
	shop::Cart<std::string> c; c.put("a"); c.put(std::to_string(n));
	std::map<std::string, int> m; m[shop::total(c)] = n;
	auto f = [&](int x) { return m[std::to_string(x)]; };
	shop::Cart<std::string> d;
	return f(n) + (c < d);
}
`

const rustSource = `
trait Speak { fn speak(&self) -> String; }
struct Dog<T> { name: T }
impl<T: std::fmt::Display> Speak for Dog<T> {
    #[inline(never)] fn speak(&self) -> String { format!("{} says wau", self.name) }
}
mod kennel {
    #[inline(never)] pub fn all(d: &dyn super::Speak, n: usize) -> Vec<String> { (0..n).map(|i| d.speak() + &i.to_string()).collect() }
}
fn main() { for s in kennel::all(&Dog { name: "Rex" }, 3) { println!("{}", s); } }
`

// tool returns the path of a build tool, and skips the test if it is not installed.
func tool(tb testing.TB, name string) string {
	tb.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		tb.Skipf("%s is not installed", name)
	}
	return p
}

// run runs a program in dir and returns its output.
func run(tb testing.TB, dir, name string, args ...string) string {
	tb.Helper()
	cmd := exec.Command(tool(tb, name), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(tb, cmd.Run(), "%s %s\n%s", name, strings.Join(args, " "), errs.String())
	return out.String()
}

// build writes the sources to a new directory, compiles them and returns the path of the
// program.
func build(tb testing.TB, compiler string, args []string, sources map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range sources {
		require.NoError(tb, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		args = append(args, name)
	}
	run(tb, dir, compiler, append(args, "-o", "out")...)
	return filepath.Join(dir, "out")
}

// nmSymbol is a function listed by nm.
type nmSymbol struct {
	addr, size uint64
	name       string
}

// nm lists the functions of a file with nm, without versions in their names.
func nm(tb testing.TB, file string, args ...string) []nmSymbol {
	tb.Helper()
	f, err := elf.Open(file)
	require.NoError(tb, err)
	defer f.Close()
	isCode := func(addr uint64) bool { // nm does not distinguish weak data from weak functions
		return slices.ContainsFunc(f.Sections, func(s *elf.Section) bool {
			return s.Flags&elf.SHF_EXECINSTR != 0 && addr >= s.Addr && addr < s.Addr+s.Size
		})
	}
	var all []nmSymbol
	lines := bufio.NewScanner(strings.NewReader(run(tb, "", "nm", append(args, "-n", "-S", "--defined-only", file)...)))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		s := nmSymbol{name: f[len(f)-1]}
		if !slices.Contains([]string{"T", "t", "W", "w", "i"}, f[len(f)-2]) {
			continue
		}
		s.addr, err = strconv.ParseUint(f[0], 16, 64)
		require.NoError(tb, err)
		if len(f) == 4 {
			s.size, err = strconv.ParseUint(f[1], 16, 64)
			require.NoError(tb, err)
		}
		if i := strings.IndexByte(s.name, '@'); i > 0 {
			s.name = s.name[:i]
		}
		if isCode(s.addr) {
			all = append(all, s)
		}
	}
	require.NoError(tb, lines.Err())
	require.NotEmpty(tb, all)
	return all
}

// readFile reads the functions of a file.
func readFile(tb testing.TB, file string, opts ReadOptions) *Table {
	tb.Helper()
	f, err := os.Open(file)
	require.NoError(tb, err)
	defer f.Close()
	table, err := Read(f, opts)
	require.NoError(tb, err)
	return table
}

// requireNames checks every function that nm lists: its first and last byte have the name
// of a function that begins at its start or closer. Addresses that no function covers have
// no name.
func requireNames(t *testing.T, table *Table, functions []nmSymbol) {
	t.Helper()
	at := make(map[uint64][]string)
	for _, s := range functions {
		at[s.addr] = append(at[s.addr], s.name)
	}
	sized := 0
	for _, s := range functions {
		name, ok := table.Lookup(s.addr)
		require.True(t, ok, "%s at %#x", s.name, s.addr)
		require.Contains(t, at[s.addr], name, "at %#x", s.addr)
		if s.size == 0 {
			continue
		}
		sized++
		last := s.addr + s.size - 1
		var nearest uint64
		for _, o := range functions {
			if o.addr <= last && (o.size == 0 && o.addr <= s.addr || last < o.addr+o.size) {
				nearest = max(nearest, o.addr)
			}
		}
		name, ok = table.Lookup(last)
		require.True(t, ok, "the end of %s at %#x", s.name, last)
		require.Contains(t, at[nearest], name, "at %#x", last)
	}
	require.NotZero(t, sized)
	requirePadding(t, table, functions)
}

// requirePadding checks that bytes after functions have no name if no function covers them.
func requirePadding(t *testing.T, table *Table, functions []nmSymbol) {
	t.Helper()
	gaps := 0
	var end uint64
	open := true // a function without a size extends to the next one
	for i, s := range functions {
		if !open && end < s.addr {
			for _, addr := range []uint64{end, s.addr - 1} {
				name, ok := table.Lookup(addr)
				require.False(t, ok, "%#x is no function, not %s", addr, name)
			}
			gaps++
		}
		if i == 0 || s.addr != functions[i-1].addr {
			open = true
		}
		open = open && s.size == 0 && s.addr >= end
		end = max(end, s.addr+s.size)
	}
	require.NotZero(t, gaps, "no padding in the file")
}
