package fleet

import (
	"container/list"
	"sync"
)

const (
	// maxContents is how many bytes of contents are cached.
	maxContents = 64 << 20
	// maxEncoders is how many contents are encoded at a time: that takes much more
	// memory than the result.
	maxEncoders = 2
)

// contents caches what Offer.Content returned. It is safe for concurrent use.
type contents struct {
	encoding chan struct{} // holds a token for each content that is being encoded

	mu     sync.Mutex
	byHash map[string]*list.Element // of *content
	order  *list.List               // the most recently used comes first
	size   int
}

// content is the result of Set.Content, which is called with the first use.
type content struct {
	hash string
	once sync.Once
	text []byte
	err  error
	size int // as counted in contents
}

func newContents() *contents {
	return &contents{encoding: make(chan struct{}, maxEncoders), byHash: map[string]*list.Element{}, order: list.New()}
}

// get returns the content of an offer, which the caller must not change.
func (c *contents) get(o Offer) ([]byte, error) {
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
		c.encoding <- struct{}{}
		defer func() { <-c.encoding }()
		kept.text, kept.err = o.Set.Content()
		c.account(at, kept)
	})
	return kept.text, kept.err
}

// account counts a new content, and drops others to make room for it.
func (c *contents) account(at *list.Element, kept *content) {
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
