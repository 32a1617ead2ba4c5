//go:build linux

package main

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
)

// compile builds an executable with a build ID and without frame pointers, as Linux
// distributions do.
func compile(ctx context.Context, out, source string) error {
	return command(ctx, "gcc", "-O2", "-fomit-frame-pointer", "-Wl,--build-id=sha1", "-o", out, source)
}

// copyExecutable copies an ELF file and changes the build ID of the copy. The profiler
// identifies executables by their first and last 4 KiB, and the build ID is in the first.
func copyExecutable(from, to string, n int) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := elf.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	note := f.Section(".note.gnu.build-id")
	const head = 4 << 10
	if note == nil || note.Size < 8 || note.Offset+note.Size > head {
		return fmt.Errorf("%s has no build ID in its first %d bytes", from, head)
	}
	end := note.Offset + note.Size
	binary.LittleEndian.PutUint64(data[end-8:end], uint64(n))
	return os.WriteFile(to, data, 0o700)
}

// manyFunctions returns a C program that calls its functions in turn.
func manyFunctions(n int) string {
	var b strings.Builder
	b.WriteString("#include <stdint.h>\nstatic volatile uint64_t sink;\n")
	for i := range n {
		fmt.Fprintf(&b, `__attribute__((noinline)) uint64_t service_handle_request_%d(uint64_t x) {
  uint64_t parts[8];
  for (int i = 0; i < 8; i++) parts[i] = x * %d + i;
  for (int i = 0; i < 200; i++) parts[i %% 8] ^= parts[(i + %d) %% 8] << 3, sink += i;
  return parts[x %% 8] + sink;
}
`, i, 2*i+1, i%7+1)
	}
	b.WriteString("static uint64_t (*const handlers[])(uint64_t) = {\n")
	for i := range n {
		fmt.Fprintf(&b, "  service_handle_request_%d,\n", i)
	}
	fmt.Fprintf(&b, `};
int main(void) {
  for (uint64_t i = 0;; i++) sink += handlers[i * 7919 %% %d](i);
}
`, n)
	return b.String()
}
