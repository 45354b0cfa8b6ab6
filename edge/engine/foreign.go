package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// Requests for sessions that another engine has, as happens behind a balancer that knows no stickiness
// (depart.go is the other side).
//
// A GET or POST is passed on, and answered as its owner says. A WebSocket makes the session move here: the
// probe is answered when the owner agrees, and the commit takes the session over before anything behind it
// is read. Until the commit, whatever goes wrong costs the WebSocket alone and the session stays on polling;
// after it, the client has let go of polling, so it costs the connection and the client comes back.
//
// How engines reach each other is not known here.

// PrefixSize is the length of Options.Prefix: 36 bits, so that engines which choose theirs at random do not
// meet; what is left of an id are 84 bits, which nobody guesses.
const PrefixSize = 6

// Foreign is how sessions of other engines are reached. Its functions may be called concurrently and may
// block.
type Foreign struct {
	// Poll answers a GET or POST of a session. Only the answer's status, its Content-Type and its body are
	// Poll's business; CORS headers are set.
	Poll func(w http.ResponseWriter, r *http.Request, sid string)
	// Probe asks the session's owner whether it may move here. ctx bounds the whole upgrade.
	Probe func(ctx context.Context, sid string) (*Handover, error)
}

// Handover is a session that its owner lets go. One of its functions is called, once.
type Handover struct {
	// Take brings the session over: it sets s.App, calls s.Restore and whatever else makes s what it was.
	// It counts as a callback and takes Handler.Open's place. Handler.Close follows also when Take fails.
	Take func(ctx context.Context, s *Session, r *Request) error
	// Withdraw leaves it where it is.
	Withdraw func()
}

// elsewhere is what check answers for another engine's session. It is written out only when Foreign cannot
// be asked.
var elsewhere = refusals[refusedSession]

// foreign reports whether an id that is not known here may be one of another engine.
func (e *Engine) foreign(id string) bool {
	return e.options.Foreign != nil && len(id) == len(sid{}) && idCharacters(id) &&
		!strings.HasPrefix(id, e.options.Prefix) && e.registry.get(id) == nil
}

func idCharacters(id string) bool {
	return strings.IndexFunc(id, func(c rune) bool {
		return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}) < 0
}

// sidOf finds the session id in the request line of a head, as it is written.
func sidOf(head []byte) string {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	for _, before := range [...]string{"?sid=", "&sid="} {
		if _, id, ok := bytes.Cut(line, []byte(before)); ok {
			if end := bytes.IndexAny(id, "& #"); end >= 0 {
				id = id[:end]
			}
			return string(id)
		}
	}
	return ""
}

// RefuseUnknown answers that there is no such session, after which a client begins a new one at once.
func (e *Engine) RefuseUnknown(w http.ResponseWriter) { writeRefusal(w, e.refuse(refusedSession)) }

// serveForeign serves a request of a session that another engine has.
func (e *Engine) serveForeign(w http.ResponseWriter, r *http.Request, request *Request, upgrade bool) {
	if !upgrade {
		e.options.Foreign.Poll(w, r, request.Query.Get("sid"))
		return
	}
	// Without extensions: they would be agreed on with this engine for bytes that may come to nothing.
	nc, rw, _, err := ws.HTTPUpgrader{}.Upgrade(r, w)
	if err != nil { // answered by the upgrader
		e.counters.refused[refusedRequest].Add(1)
		if nc != nil {
			_ = nc.Close()
		}
		return
	}
	early, _ := io.ReadAll(io.LimitReader(rw, int64(buffered(rw)))) // from memory, cannot fail
	ctx, cancel := context.WithTimeout(e.life, e.options.UpgradeTimeout)
	defer cancel()
	v := &visitor{e: e, nc: nc, r: request, ctx: ctx, early: bytes.NewReader(early)}
	v.in = bufio.NewReaderSize(io.MultiReader(v.early, nc), 512)
	v.serve()
}

// visitor is a WebSocket for a session that is still elsewhere. It is served by one goroutine, which ends
// when the session is here or the WebSocket has failed.
type visitor struct {
	e        *Engine
	nc       net.Conn
	r        *Request
	ctx      context.Context
	early    *bytes.Reader // what came with the handshake
	in       *bufio.Reader
	handover *Handover // once the owner has agreed
}

var errVisitor = errors.New("engine: not a packet of an upgrade")

// serve answers probes until the client commits.
func (v *visitor) serve() {
	stop := context.AfterFunc(v.ctx, func() { _ = v.nc.SetDeadline(time.Unix(1, 0)) })
	committed, err := false, error(nil)
	for err == nil && !committed {
		committed, err = v.packet()
	}
	if err == nil && (v.handover != nil || v.probe() == nil) && stop() {
		_ = v.nc.SetDeadline(time.Time{})
		v.take()
		return
	}
	stop()
	if v.handover != nil {
		v.handover.Withdraw()
	}
	if v.ctx.Err() != nil {
		v.e.counters.refused[refusedUpgradeTimeout].Add(1)
	}
	v.leave()
}

// packet reads one frame and answers it. It returns true for the commit.
func (v *visitor) packet() (committed bool, err error) {
	h, err := ws.ReadHeader(v.in)
	if err != nil {
		return false, err
	}
	if !h.Masked || !h.Fin || h.Rsv != 0 || h.Length > maxControl {
		return false, errVisitor
	}
	var space [maxControl]byte
	data := space[:h.Length]
	if _, err := io.ReadFull(v.in, data); err != nil {
		return false, err
	}
	unmask(data, h.Mask, 0)
	switch op := byte(h.OpCode); {
	case op == opText && string(data) == "2probe":
		if v.handover == nil {
			if err := v.probe(); err != nil {
				return false, err
			}
		}
		_, err = v.nc.Write(probeAnswer.wire)
	case op == opText && string(data) == "5": // accepted without a probe, as in the reference
		return true, nil
	case op == opPing:
		_, err = v.nc.Write(append(appendHeader(nil, opPong, len(data)), data...))
	case op != opPong:
		err = errVisitor
	}
	return false, err
}

func (v *visitor) probe() (err error) {
	v.handover, err = v.e.options.Foreign.Probe(v.ctx, v.r.Query.Get("sid"))
	return err
}

// take makes the session this engine's and gives it the WebSocket.
func (v *visitor) take() {
	e := v.e
	s, refused := e.begin(strings.Clone(v.r.RemoteAddr))
	if refused != nil {
		v.handover.Withdraw()
		v.leave()
		return
	}
	copy(s.id[:], v.r.Query.Get("sid"))
	s.arriving = true
	e.counters.websocket.Add(1)
	e.registry.add(s)
	ctx, cancel := context.WithTimeout(e.life, e.options.UpgradeTimeout)
	defer cancel()
	s.begin()
	err := v.handover.Take(ctx, s, v.r)
	s.end() // what waits is written when the WebSocket is there
	if err != nil {
		e.options.Logger.Info("session does not move here", "error", err)
		s.Close(ReasonTransportError)
		v.leave()
		return
	}
	behind, _ := v.in.Peek(v.in.Buffered())
	rest := make([]byte, 0, len(behind)+v.early.Len())
	rest = append(rest, behind...)
	left, _ := io.ReadAll(v.early) // from memory, cannot fail
	rest = append(rest, left...)
	if e.poller == nil || !e.poller.adopt(v.nc, s, v.r, true, rest) {
		e.adoptStd(v.nc, s, v.r, true, rest)
	}
}

// leave ends the WebSocket and lingers until the peer has read so.
func (v *visitor) leave() {
	_ = v.nc.SetDeadline(time.Now().Add(lingerTime))
	_, _ = v.nc.Write(appendClose(nil, codeNormal)) // the peer may be gone
	if half, ok := v.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		_, _ = io.Copy(io.Discard, v.nc)
	}
	_ = v.nc.Close()
}

// arrive gives a session that came from another engine its WebSocket. The caller must call s.end and flush.
func (s *Session) arrive(l link) {
	e := s.engine
	s.begin()
	s.mu.Lock()
	s.link, s.window, s.visible, s.arriving = l, l.inflates(), true, false
	closing := s.closing
	if !closing {
		e.counters.upgraded.Add(1)
		s.shard.wheel.schedule(&s.timer, s, s.nextDeadline())
	}
	s.mu.Unlock()
	if closing { // it ended on its way, and found no link to end
		l.shut(s.reason.closeCode(), s.reason.abrupt())
	}
}
