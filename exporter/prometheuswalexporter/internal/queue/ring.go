package queue

// ring is a queue in a slice that grows by doubling and is reused from the front.
type ring[T any] struct {
	buf  []T
	head int
	n    int
}

func (r *ring[T]) len() int { return r.n }

func (r *ring[T]) at(i int) T { return r.buf[(r.head+i)%len(r.buf)] }

func (r *ring[T]) push(v T) {
	r.grow(1)
	r.buf[(r.head+r.n)%len(r.buf)] = v
	r.n++
}

func (r *ring[T]) pushAll(vs []T) {
	r.grow(len(vs))
	at := (r.head + r.n) % len(r.buf)
	k := copy(r.buf[at:], vs)
	copy(r.buf, vs[k:])
	r.n += len(vs)
}

// grow makes room for n more.
func (r *ring[T]) grow(n int) {
	if r.n+n <= len(r.buf) {
		return
	}
	buf := make([]T, max(16, 2*len(r.buf), r.n+n))
	parts := r.front(r.n)
	copy(buf[copy(buf, parts[0]):], parts[1])
	r.buf, r.head = buf, 0
}

// front returns the first n in two parts. The second is empty unless they wrap
// around.
func (r *ring[T]) front(n int) [2][]T {
	if n == 0 {
		return [2][]T{}
	}
	if r.head+n <= len(r.buf) {
		return [2][]T{r.buf[r.head : r.head+n], nil}
	}
	return [2][]T{r.buf[r.head:], r.buf[:r.head+n-len(r.buf)]}
}

// drop removes the first n. An empty ring starts over, so a queue that stays
// short touches little memory.
func (r *ring[T]) drop(n int) {
	r.n -= n
	r.head = (r.head + n) % len(r.buf)
	if r.n == 0 {
		r.head = 0
	}
}
