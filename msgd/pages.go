package msgd

import (
	"context"
	"slices"
	"sync"
)

// The index says where messages are: page k of a conversation holds the places of its messages
// k*pageSize+1 to (k+1)*pageSize. It is a function of the log alone. Each message has its own slot, so
// writing slots in any order, twice, or by several replicas gives the same page.

const pageSize = 128

// page is one value of the index. A slot that is not written yet has the sequence 0.
type page struct {
	Seqs    []uint64 `json:"seq"`    // in MESSAGES
	Origins []uint64 `json:"origin"` // in the log
	Senders []int    `json:"by"`     // index in Users
	Users   []string `json:"users"`
}

// place is where one message is, and whose it is.
type place struct {
	number int64
	seq    uint64 // in MESSAGES
	origin uint64 // in the log
	sender string
}

func pageOf(number int64) int64 { return (number - 1) / pageSize }
func slotOf(number int64) int   { return int((number - 1) % pageSize) }

// at returns the place of a number in this page; ok is false where it is not written yet.
func (p *page) at(number int64) (place, bool) {
	i := slotOf(number)
	if i >= len(p.Seqs) || p.Seqs[i] == 0 {
		return place{}, false
	}
	return place{number, p.Seqs[i], p.Origins[i], p.Users[p.Senders[i]]}, true
}

// put writes a slot and reports whether that changed anything.
func (p *page) put(at place) bool {
	i := slotOf(at.number)
	if i < len(p.Seqs) && p.Seqs[i] != 0 {
		return false
	}
	for len(p.Seqs) <= i {
		p.Seqs, p.Origins, p.Senders = append(p.Seqs, 0), append(p.Origins, 0), append(p.Senders, 0)
	}
	who := slices.Index(p.Users, at.sender)
	if who < 0 {
		who = len(p.Users)
		p.Users = append(p.Users, at.sender)
	}
	p.Seqs[i], p.Origins[i], p.Senders[i] = at.seq, at.origin, who
	return true
}

// full pages never change again.
func (p *page) full() bool { return len(p.Seqs) == pageSize && !slices.Contains(p.Seqs, 0) }

// valid guards against a damaged value.
func (p *page) valid() bool {
	if len(p.Seqs) > pageSize || len(p.Origins) != len(p.Seqs) || len(p.Senders) != len(p.Seqs) {
		return false
	}
	for i, seq := range p.Seqs {
		if seq != 0 && (p.Senders[i] < 0 || p.Senders[i] >= len(p.Users)) {
			return false
		}
	}
	return true
}

// pageCache keeps full pages. Its methods may be called concurrently.
type pageCache struct {
	mu sync.Mutex
	// Guarded by mu.
	full map[pageKey]*page
}

type pageKey struct {
	conv string
	page int64
}

// maxPages of about 3 KiB each; beyond that some are dropped, whichever come first.
const maxPages = 8192

func newPageCache() *pageCache { return &pageCache{full: make(map[pageKey]*page)} }

func (c *pageCache) get(key pageKey) *page {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.full[key]
}

func (c *pageCache) put(key pageKey, p *page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.full {
		if len(c.full) < maxPages {
			break
		}
		delete(c.full, old)
	}
	c.full[key] = p
}

// page reads one page of the index; one that is not there yet is empty. The result must not be changed.
func (s *Service) page(ctx context.Context, conv string, k int64) (*page, error) {
	key := pageKey{conv, k}
	if p := s.pages.get(key); p != nil {
		return p, nil
	}
	p := &page{}
	if _, err := s.store.load(ctx, pageValue(conv, k), p); err != nil {
		return nil, err
	}
	if !p.valid() {
		s.log.Error("a page of the index is damaged", "conversation", conv, "page", k)
		return &page{}, nil // its messages are found in MESSAGES, slowly
	}
	if p.full() {
		s.pages.put(key, p)
	}
	return p, nil
}

// places returns what the index knows of the messages lo to hi, and the numbers it does not know.
func (s *Service) places(ctx context.Context, conv string, lo, hi int64) (known []place, missing []int64, err error) {
	first, count := pageOf(lo), int(pageOf(hi)-pageOf(lo))+1
	pages := make([]*page, count)
	err = parallel(count, func(i int) (err error) {
		pages[i], err = s.page(ctx, conv, first+int64(i))
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	known = make([]place, 0, hi-lo+1)
	for n := lo; n <= hi; n++ {
		if at, ok := pages[pageOf(n)-first].at(n); ok {
			known = append(known, at)
		} else {
			missing = append(missing, n)
		}
	}
	return known, missing, nil
}

// indexedBefore returns the place of the last message before number that the index knows; the zero
// place if it knows none.
func (s *Service) indexedBefore(ctx context.Context, conv string, number int64) (place, error) {
	for k := pageOf(number - 1); k >= 0 && number > 1; k-- {
		p, err := s.page(ctx, conv, k)
		if err != nil {
			return place{}, err
		}
		for n := min(number-1, (k+1)*pageSize); n > k*pageSize; n-- {
			if at, ok := p.at(n); ok {
				return at, nil
			}
		}
	}
	return place{}, nil
}

// parallel calls f for 0 to n-1, a few at a time, and returns the first error.
func parallel(n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	const most = 32
	var (
		wait  sync.WaitGroup
		once  sync.Once
		first error
		next  = make(chan int, n)
	)
	for i := range n {
		next <- i
	}
	close(next)
	for range min(n, most) {
		wait.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					once.Do(func() { first = err })
					return
				}
			}
		})
	}
	wait.Wait()
	return first
}
