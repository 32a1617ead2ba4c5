// Package elfsymbols names the native functions of a process: which function of
// an ELF file covers an address.
//
//	               Cache.Names(key, addresses, open)
//	                      | not in the cache
//	  open() ------> Read(file)
//	                  |  .symtab, else .gnu_debugdata, else a debug file;
//	                  |  .dynsym always
//	                  v
//	symbols -> candidates -> disjoint ranges -> Table -> demangled names
//	           (ranked)      (nearest wins)     (12 bytes a function and
//	                                             its name once)
//
// The files are those of running processes, so nobody vouches for what is in
// them: everything is read in pieces, within bounds of memory and time, and what
// makes no sense is an error or an address without a name. debug/elf lends its
// constants and the layout of its structures only; its documentation rules out
// untrusted files.
//
// Addresses are ELF virtual addresses: those that the symbols of the file have,
// not those that the process sees. Files are 64 bit and little endian, as on
// amd64 and arm64.
//
// Sources: the ELF-64 object file format, version 1.5; for build IDs, debug links
// and .gnu_debugdata "Debugging Information in Separate Files" and
// "MiniDebugInfo" in the manual of GDB
// (https://sourceware.org/gdb/current/onlinedocs/gdb.html).
package elfsymbols
