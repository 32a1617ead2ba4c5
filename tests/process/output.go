package process

import "sync"

// Output keeps what a process prints. It may be the standard output and the
// standard error of one process, and be read while the process runs.
type Output struct {
	// Limit bounds the memory: only the last Limit bytes are kept. 0 keeps all.
	Limit int

	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	if o.Limit > 0 {
		o.text = o.text[max(0, len(o.text)-o.Limit):]
	}
	return len(p), nil
}

// String returns what is kept.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
