// Package walposition stores the position from which on a log is needed, in a
// small file beside its segments.
//
// The file has two slots that are written in turn, each with a checksum and a
// counter, so a torn write leaves the other slot valid. The file has its full size
// from the start, so saving needs no room on a full disk.
//
//	slot  "IPOS" | version u32 | counter u64 | segment u64 | offset u64 | crc32c u32
//
// All integers are little-endian; the second slot is at byte 512.
package walposition
