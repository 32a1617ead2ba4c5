// Command burn burns CPU in two functions, in a share of 3 to 1.
package main

import (
	"runtime"
	"syscall"
)

// The functions that burn have variables on their stack: a function that has no
// frame of its own hides its caller from who follows frame pointers, as the
// profiler does in Go.
var sink uint64

func cpuMicroseconds() int64 {
	var u syscall.Rusage
	const thread = 1 // RUSAGE_THREAD
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano()/1000 + u.Stime.Nano()/1000
}

//go:noinline
func spinSquare() {
	var sums [16]uint64
	for i := range uint64(200_000) {
		sums[i%16] += i * i
	}
	sink += sums[sink%16]
}

//go:noinline
func spinXor() {
	var sums [16]uint64
	for i := range uint64(200_000) {
		sums[i%16] ^= i
	}
	sink += sums[sink%16]
}

//go:noinline
func burnLarge(until int64) {
	for cpuMicroseconds() < until {
		spinSquare()
	}
}

//go:noinline
func burnSmall(until int64) {
	for cpuMicroseconds() < until {
		spinXor()
	}
}

func main() {
	runtime.LockOSThread()
	for {
		burnLarge(cpuMicroseconds() + 30_000)
		burnSmall(cpuMicroseconds() + 10_000)
	}
}
