package edge

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// shareNews is one message about shares. It names users that have changed, each with its whole share, or
// is a part of the whole. On the wire:
//
//	1 byte    format, 1
//	8 bytes   incarnation of the edge's process
//	uvarint   number of the message: 1, 2, … per incarnation
//	1 byte    part
//	and to the end, per user:
//	8 bytes   hash of the user
//	1 byte    bit n: sockets in namespace n
//	uvarint   of each bit that is set, how many
//	uvarint   number of rooms
//	8 bytes   of each room, its hash
//
// A user with neither is gone. A message without users says that the edge lives.
type shareNews struct {
	incarnation uint64
	seq         uint64
	part        sharePart
	users       []userShare
}

// userShare is what an edge holds for one user.
type userShare struct {
	user hash
	share
}

// sharePart says what a message is.
type sharePart uint8

const (
	partChange sharePart = 0
	partWhole  sharePart = 1 // of everybody; the first and the last part say so besides
	partFirst  sharePart = 2
	partLast   sharePart = 4
	partBye    sharePart = 8 // the edge is leaving and holds nothing any more
)

func (p sharePart) valid() bool {
	return p == partChange || p == partBye || p&partWhole != 0 && p < partBye
}

const (
	shareFormat = 1
	shareBytes  = 256 << 10 // of one message; what follows goes into the next one
)

// encode writes the news, up to the users that fit into shareBytes, and returns how many those are: at
// least one, if there is one.
func (n shareNews) encode() (message []byte, users int) {
	dst := []byte{shareFormat}
	dst = binary.BigEndian.AppendUint64(dst, n.incarnation)
	dst = binary.AppendUvarint(dst, n.seq)
	part := len(dst)
	dst = append(dst, byte(n.part))
	for _, u := range n.users {
		if users > 0 && len(dst)+8*len(u.rooms) > shareBytes {
			dst[part] &^= byte(partLast)
			break
		}
		dst = u.append(dst)
		users++
	}
	return dst, users
}

func (u userShare) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(u.user))
	mask := len(dst)
	dst = append(dst, 0)
	for n, sockets := range u.sockets {
		if sockets > 0 {
			dst[mask] |= 1 << n
			dst = binary.AppendUvarint(dst, uint64(sockets))
		}
	}
	rooms := u.rooms[:min(len(u.rooms), shareMost)]
	dst = binary.AppendUvarint(dst, uint64(len(rooms)))
	for _, room := range rooms {
		dst = binary.BigEndian.AppendUint64(dst, uint64(room))
	}
	return dst
}

// parseShareNews decodes a message. It reserves no more than the message's own size allows.
func parseShareNews(data []byte) (n shareNews, err error) {
	r := shareReader{rest: data}
	if format := r.byte(); format != shareFormat {
		return n, fmt.Errorf("format %d, this edge reads %d", format, shareFormat)
	}
	n.incarnation, n.seq, n.part = r.uint64(), r.uvarint(1<<62), sharePart(r.byte())
	if !n.part.valid() || n.seq == 0 {
		r.bad = true
	}
	for len(r.rest) > 0 && !r.bad {
		n.users = append(n.users, r.user())
	}
	if r.bad {
		return shareNews{}, errShareNews
	}
	return n, nil
}

var errShareNews = errors.New("cut off or not of this format")

// shareReader takes values from a message; bad says that one was not there.
type shareReader struct {
	rest []byte
	bad  bool
}

func (r *shareReader) take(n int) []byte {
	if r.bad || len(r.rest) < n {
		r.bad = true
		return make([]byte, 8)
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *shareReader) byte() byte { return r.take(1)[0] }

func (r *shareReader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// uvarint reads a number up to most, in its shortest spelling.
func (r *shareReader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > most || n > 1 && v>>(7*(n-1)) == 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *shareReader) user() (u userShare) {
	u.user = hash(r.uint64())
	mask := r.byte()
	if mask>>nsCount != 0 {
		r.bad = true
	}
	for n := range u.sockets {
		if mask&(1<<n) == 0 {
			continue
		}
		u.sockets[n] = uint16(r.uvarint(1<<16 - 1))
		r.bad = r.bad || u.sockets[n] == 0
	}
	rooms := int(r.uvarint(shareMost))
	if r.bad || len(r.rest) < 8*rooms {
		r.bad = true
		return u
	}
	if rooms > 0 {
		u.rooms = make([]hash, rooms)
	}
	for i := range u.rooms {
		u.rooms[i] = hash(r.uint64())
	}
	return u
}
