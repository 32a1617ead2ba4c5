// Command pprofserver is a program to profile over HTTP: it burns CPU in two
// functions in a share of 3 to 1 if BURN is set, and does known amounts of other
// things when it is told to.
//
//	pprofserver 127.0.0.1:6060 user password
//
//	GET  /debug/pprof/…  net/http/pprof, for the user
//	POST /work?n=…       do n times what is below, and tell what was done
//	GET  /served         how many profiles were asked for, by path
package main

import (
	"crypto/subtle"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// Work is what /work answers: what has been done since the start.
type Work struct {
	AllocatedBytes int64
	Waits          int64
	WaitNanos      int64
	Contentions    int64
}

const (
	blockSize = 256 << 10 // of memory; several times the rate, so that nearly each is sampled
	waitTime  = time.Millisecond
)

var (
	spun uint64
	kept []byte
)

//go:noinline
func spinSquare() {
	var sums [16]uint64
	for i := range uint64(200_000) {
		sums[i%16] += i * i
	}
	spun += sums[spun%16]
}

//go:noinline
func burnLarge() {
	for range 3 {
		spinSquare()
	}
}

//go:noinline
func burnSmall() { spinSquare() }

//go:noinline
func allocate(n int) {
	for range n {
		kept = make([]byte, blockSize)
	}
}

// await blocks n times, which the profile counts.
//
//go:noinline
func await(n int) {
	for range n {
		<-time.After(waitTime)
	}
}

// contend makes a goroutine wait n times for a lock that this one holds.
//
//go:noinline
func contend(n int) {
	var lock sync.Mutex
	for range n {
		lock.Lock()
		waiting := make(chan struct{})
		done := make(chan struct{})
		go func() {
			close(waiting)
			lock.Lock()
			lock.Unlock() //nolint:staticcheck // the lock is all it wants
			close(done)
		}()
		<-waiting
		time.Sleep(waitTime) // it is not known when the other one begins to wait
		lock.Unlock()
		<-done
	}
}

func main() {
	runtime.MemProfileRate = 64 << 10
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	addr, user, password := os.Args[1], os.Args[2], os.Args[3]
	if os.Getenv("BURN") != "" {
		go func() {
			for {
				burnLarge()
				burnSmall()
			}
		}()
	}
	var working, serving sync.Mutex
	var done Work
	served := map[string]int{}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	http.DefaultServeMux = http.NewServeMux() // what net/http/pprof registers itself has no user
	http.HandleFunc("/debug/pprof/", func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if u != user || subtle.ConstantTimeCompare([]byte(p), []byte(password)) == 0 {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/debug/pprof/profile" {
			pprof.Profile(w, r)
		} else {
			pprof.Index(w, r)
		}
		serving.Lock()
		defer serving.Unlock()
		served[r.URL.Path]++
	})
	http.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		working.Lock()
		defer working.Unlock()
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		allocate(n)
		done.AllocatedBytes += int64(n) * blockSize
		start := time.Now()
		await(n)
		done.Waits += int64(n)
		done.WaitNanos += time.Since(start).Nanoseconds()
		contend(n)
		done.Contentions += int64(n)
		runtime.GC() // the heap's profile is that of the last one
		runtime.GC()
		answer(w, done)
	})
	http.HandleFunc("/served", func(w http.ResponseWriter, _ *http.Request) {
		serving.Lock()
		defer serving.Unlock()
		answer(w, maps.Clone(served))
	})
	if err := http.ListenAndServe(addr, nil); err != nil { //nolint:gosec // a test is its only client
		panic(err)
	}
}
