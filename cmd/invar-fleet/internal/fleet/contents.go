package fleet

import (
	"container/list"
	"sync"
)

const (
	// maxContents is how many bytes of contents are kept for the next who asks.
	maxContents = 64 << 20
	// makers is how many contents are made at a time: that takes much more memory
	// than they are.
	makers = 2
)

// contents keeps what Offer.Content returned last. It is safe for concurrent use.
type contents struct {
	turn chan struct{} // holds a token for each that is being made

	mu     sync.Mutex
	byHash map[string]*list.Element // of *content
	order  *list.List               // the one asked for last comes first
	size   int
}

// content is Set.Content, made when it is first asked for.
type content struct {
	hash string
	once sync.Once
	text []byte
	err  error
	size int // that is counted
}

func newContents() *contents {
	return &contents{turn: make(chan struct{}, makers), byHash: map[string]*list.Element{}, order: list.New()}
}

func (c *contents) of(o Offer) ([]byte, error) {
	c.mu.Lock()
	at := c.byHash[o.Hash]
	if at == nil {
		at = c.order.PushFront(&content{hash: o.Hash})
		c.byHash[o.Hash] = at
	}
	c.order.MoveToFront(at)
	c.mu.Unlock()
	kept := at.Value.(*content)
	kept.once.Do(func() {
		c.turn <- struct{}{}
		defer func() { <-c.turn }()
		kept.text, kept.err = o.Set.Content()
		c.made(at, kept)
	})
	return kept.text, kept.err
}

// made counts a content that was made, and drops others for it.
func (c *contents) made(at *list.Element, kept *content) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHash[kept.hash] != at {
		return // dropped already
	}
	kept.size = len(kept.text) + len(kept.hash) + 200
	c.size += kept.size
	for c.size > maxContents && c.order.Len() > 1 {
		oldest := c.order.Back()
		dropped := c.order.Remove(oldest).(*content)
		delete(c.byHash, dropped.hash)
		c.size -= dropped.size
	}
}
