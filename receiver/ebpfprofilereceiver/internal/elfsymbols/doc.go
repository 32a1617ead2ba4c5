// Package elfsymbols finds the names of native functions: which function of an ELF file
// covers an address.
//
//	               Cache.Names(key, addresses, open)
//	                      | not in the cache
//	  open() ------> Read(file)
//	                  |  .symtab, else .gnu_debugdata, else a debug file;
//	                  |  .dynsym always
//	                  v
//	symbols -> candidates -> disjoint ranges -> Table -> demangled names
//	           (ranked)      (nearest wins)     (12 bytes a function;
//	                                             each name once)
//
// The files belong to arbitrary processes and may be hostile. They are read in chunks,
// with limits on memory and time, and malformed content leads to an error or to an
// address without a name. Only constants and structure layouts come from debug/elf,
// whose documentation advises against untrusted input.
//
// Addresses are ELF virtual addresses, as in the symbols of the file, not addresses in
// the process. Only 64-bit little-endian files are supported, as on amd64 and arm64.
//
// References: the ELF-64 object file format, version 1.5; for build IDs, debug links and
// .gnu_debugdata, "Debugging Information in Separate Files" and "MiniDebugInfo" in the
// GDB manual
// (https://sourceware.org/gdb/current/onlinedocs/gdb.html).
package elfsymbols
