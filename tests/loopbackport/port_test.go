package loopbackport

import (
	"net"
	"os/exec"
	"sync"
	"testing"
)

// TestFreeAddrWhileForking binds addresses while other goroutines start
// processes, as parallel tests do.
func TestFreeAddrWhileForking(t *testing.T) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	defer wg.Wait()
	defer close(done)
	for range 2000 {
		addr, err := FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
