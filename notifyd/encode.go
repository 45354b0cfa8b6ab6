package notifyd

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// A record is stored as lines: a JSON object with all that is small, then the bodies
// of the notifications that are not in a page, one a line. An operator can read it,
// and bodies are copied and never parsed again.
//
// A page is lines too: bodies alone, in the order of their items. It is written
// once, and its name tells the record's revision it was cut from and how many bodies
// it has; so whoever cuts the same page writes the same bytes.

const recordVersion = 1

type head struct {
	Version int           `json:"v"`
	Gen     uint64        `json:"gen"`
	Next    uint64        `json:"next"`
	Items   []byte        `json:"items,omitempty"`
	Seen    []byte        `json:"seen,omitempty"`
	Epoch   int64         `json:"epoch,omitempty"`
	Names   []byte        `json:"names,omitempty"`
	Fence   [kinds]uint64 `json:"fence"`
	Out     []event       `json:"out,omitempty"`
	Drop    []uint64      `json:"drop,omitempty"`
}

// encode writes the record with what is still to be announced.
func (r *record) encode() ([]byte, error) {
	h := head{
		Version: recordVersion, Gen: r.gen, Next: r.next,
		Items: r.appendItems(nil), Seen: r.seen.encode(), Epoch: r.epoch,
		Fence: r.fence, Out: r.out, Drop: r.drop,
	}
	for _, name := range r.names {
		h.Names = binary.LittleEndian.AppendUint64(h.Names, name)
	}
	first, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	size := len(first)
	for i := range r.items {
		size += 1 + len(r.items[i].body)
	}
	data := append(make([]byte, 0, size), first...)
	for i := range r.items {
		if r.items[i].page == 0 {
			data = append(append(data, '\n'), r.items[i].body...)
		}
	}
	return data, nil
}

// Pages in a list of items are written when they change.
const (
	samePage  = 0
	herePage  = 1
	otherPage = 2
)

// appendItems writes three numbers an item: distance of its ordinal, when it was read
// against the item before (0: unread), and its page.
func (r *record) appendItems(dst []byte) []byte {
	var n, page uint64
	var at int64
	for i := range r.items {
		it := &r.items[i]
		dst = binary.AppendUvarint(dst, it.n-n)
		n = it.n
		if it.readAt == 0 {
			dst = binary.AppendUvarint(dst, 0)
		} else {
			dst = binary.AppendUvarint(dst, zigzag(it.readAt-at)+1)
			at = it.readAt
		}
		switch it.page {
		case page:
			dst = binary.AppendUvarint(dst, samePage)
		case 0:
			dst = binary.AppendUvarint(dst, herePage)
		default:
			dst = binary.AppendUvarint(dst, otherPage)
			dst = binary.AppendUvarint(dst, it.page)
		}
		page = it.page
	}
	return dst
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func parseItems(data []byte, next uint64) ([]item, error) {
	var (
		items   []item
		n, page uint64
		at      int64
	)
	for b := (blob{b: data}); ; {
		if !b.more() {
			return items, b.err
		}
		it := item{n: n + b.next()}
		if read := b.next(); read != 0 {
			at += unzigzag(read - 1)
			it.readAt = at
		}
		switch b.next() {
		case samePage:
		case herePage:
			page = 0
		case otherPage:
			page = b.next()
		default:
			return nil, errBlob
		}
		it.page = page
		if b.err != nil || it.n <= n || it.n >= next {
			return nil, errBlob
		}
		n = it.n
		items = append(items, it)
	}
}

var errRecord = errors.New("the stored record is not understood")

// parse reads what encode wrote. What it cannot read it refuses whole: a record that
// was misread would be written back.
func parse(user, key string, rev uint64, data []byte) (*record, error) {
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	var h head
	if err := json.Unmarshal(first, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if h.Version != recordVersion {
		return nil, fmt.Errorf("%w: version %d, this program knows %d", errRecord, h.Version, recordVersion)
	}
	r := &record{
		user: user, key: key, rev: rev, gen: h.Gen, next: h.Next, epoch: h.Epoch,
		fence: h.Fence, out: h.Out, drop: h.Drop,
	}
	var err error
	if r.items, err = parseItems(h.Items, h.Next); err != nil {
		return nil, fmt.Errorf("%w: items: %w", errRecord, err)
	}
	if r.seen, err = parseSeqset(h.Seen); err != nil {
		return nil, fmt.Errorf("%w: seen: %w", errRecord, err)
	}
	if len(h.Names)%8 != 0 {
		return nil, fmt.Errorf("%w: %d bytes of names", errRecord, len(h.Names))
	}
	for b := h.Names; len(b) > 0; b = b[8:] {
		r.names = append(r.names, binary.LittleEndian.Uint64(b))
	}
	return r, r.parseBodies(rest)
}

func (r *record) parseBodies(rest []byte) error {
	for i := range r.items {
		if r.items[i].page != 0 {
			continue
		}
		var body []byte
		if body, rest, _ = bytes.Cut(rest, []byte{'\n'}); len(body) == 0 {
			return fmt.Errorf("%w: notification %d has no body", errRecord, r.items[i].n)
		}
		r.items[i].body = body
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes too many", errRecord, len(rest))
	}
	return nil
}

// body completes what was asked for with what only the record knows. rest is a JSON
// object with at least one key.
func (r *record) body(n uint64, rest []byte) []byte {
	user, err := json.Marshal(r.user)
	if err != nil {
		user = []byte(`""`) // a string can always be written
	}
	b := make([]byte, 0, len(rest)+len(user)+64)
	b = append(append(b, `{"id":"`...), r.id(n)...)
	b = append(append(b, `","userId":`...), user...)
	return append(append(b, ','), rest[1:]...)
}

// Pages.

// Measured with 500 notifications kept and no batching, notifications per second of one
// core: a key for each body 5,000 and 300 bytes of the server's memory each; pages of
// 8 or 16 bodies 5,400; of 64 3,600; everything in the record 800.
const (
	pageItems = 16       // bodies in the record before they go to a page
	pageBytes = 24 << 10 // or this many bytes of them
	maxPage   = 1 << 8   // bodies in a page, more than a batch and pageItems together
)

// cut says which bodies go to a page: all that are here, once there are enough. It is
// a function of the stored record, so it comes before any other change.
func (r *record) cut() (page uint64, data []byte) {
	count, size := 0, 0
	for i := range r.items {
		if r.items[i].page == 0 {
			count++
			size += 1 + len(r.items[i].body)
		}
	}
	if r.rev == 0 || count < pageItems && size < pageBytes || count == 0 {
		return 0, nil
	}
	count = min(count, maxPage-1)
	page = r.rev*maxPage + uint64(count)
	for i := range r.items {
		if r.items[i].page == 0 && count > 0 {
			data = append(append(data, r.items[i].body...), '\n')
			r.items[i].page, r.items[i].body = page, nil
			count--
		}
	}
	r.changed = true
	return page, data
}

func (r *record) pageKey(page uint64) string {
	return pagePrefix + r.key + "." + strconv.FormatUint(page, 36)
}
