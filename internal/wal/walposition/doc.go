// Package walposition keeps the position from where on a log is still needed
// in a small file beside its segments.
//
// The file has two slots that are written in turn, each with a checksum and a
// counter: a write that is cut short leaves the other one. It has its full size
// from the start on, so that a full disk has room for what is saved.
//
//	slot  "IPOS" | version u32 | counter u64 | segment u64 | offset u64 | crc32c u32
//
// All integers are little-endian; the second slot is at byte 512.
package walposition
