// Package sioclient is a small Socket.IO v5 client for tests, `lexiflow listen` and lexiload.
//
// One connection is one namespace, one transport, one goroutine and one read buffer. Events are dispatched
// in order, pings are answered, acks wait with a context. What it leaves to the caller: reconnecting,
// connection state recovery (PID is there), sending attachments, answering the server's requests for acks.
package sioclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lexiflow/realtime/edge/sio"
)

// Client is one connected namespace. Its methods may be called concurrently, also from OnEvent, except that
// OnEvent must not wait: EmitAck there never returns before its context ends.
//
// Any error of the connection ends it. Done is closed then, Err says why, and waiting acks fail with it.
type Client struct {
	// Static after Dial.
	options   Options
	transport transport
	limits    sio.Limits
	patience  time.Duration // how long the server may stay silent: pingInterval + pingTimeout
	sid, pid  string
	done      chan struct{}

	// Owned by the reader.
	decoder sio.Decoder

	mu     sync.Mutex
	nextID uint64
	acks   map[uint64]chan json.RawMessage // nil until the first EmitAck
	err    error                           // set once, before done is closed
}

// transport carries Engine.IO packets.
type transport interface {
	// open returns the handshake. It is called once, first.
	open() (sio.EnginePacket, error)
	// next returns the next packet, whose data is valid until the next call. For the reader only.
	next() (sio.EnginePacket, error)
	// expect bounds how long next may wait from now on.
	expect(within time.Duration)
	// send writes one packet; safe for concurrent use.
	send(ctx context.Context, p sio.EnginePacket) error
	// close makes next return; farewell also ends the session in the transport's own terms.
	close(farewell bool)
}

// Dial connects, joins the namespace and returns once the server has accepted. A refusal by the server is a
// *ConnectError. The context bounds Dial only.
func Dial(ctx context.Context, o Options) (*Client, error) {
	o, u, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	payload, err := o.connectPayload()
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, limits: o.limits(), done: make(chan struct{})}
	if o.Transport == transportPolling {
		c.transport = newPolling(u, o)
	} else if c.transport, err = dialWebSocket(ctx, u, o); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.transport.close(false) })
	err = c.handshake(ctx, payload)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.transport.close(true)
		if ctx.Err() != nil {
			err = fmt.Errorf("sioclient: connecting: %w", context.Cause(ctx))
		}
		return nil, err
	}
	go c.read()
	return c, nil
}

// handshake reads the open packet, sends CONNECT and waits for its answer.
func (c *Client) handshake(ctx context.Context, payload []byte) error {
	open, err := c.transport.open()
	if err != nil {
		return err
	}
	var h struct {
		SID                       string
		PingInterval, PingTimeout int64
	}
	if err := json.Unmarshal(open.Data, &h); open.Type != sio.Open || err != nil || h.SID == "" {
		return errors.New("sioclient: the server does not speak Engine.IO 4: no open packet")
	}
	c.patience = time.Duration(h.PingInterval+h.PingTimeout) * time.Millisecond
	c.transport.expect(c.patience)
	if err := c.sendText(ctx, sio.AppendConnect(nil, c.options.Namespace, payload)); err != nil {
		return err
	}
	for c.sid == "" {
		p, ok, err := c.receive()
		if err != nil {
			return err
		}
		if !ok || p.Namespace != c.options.Namespace {
			continue
		}
		switch p.Type {
		case sio.Connect:
			if err := c.accepted(p.Data); err != nil {
				return err
			}
		case sio.ConnectError:
			return parseConnectError(p.Data)
		}
	}
	return nil
}

func (c *Client) accepted(payload []byte) error {
	var ids struct{ SID, PID string }
	if err := json.Unmarshal(payload, &ids); err != nil || ids.SID == "" {
		return errors.New("sioclient: the server's answer to CONNECT has no sid: is it Socket.IO 2?")
	}
	c.sid, c.pid = ids.SID, ids.PID
	return nil
}

// read is the reader: it runs until the connection ends.
func (c *Client) read() {
	for {
		p, ok, err := c.receive()
		if err == nil && ok && p.Namespace == c.options.Namespace {
			err = c.dispatch(p)
		}
		if err != nil {
			c.end(err, false)
			return
		}
	}
}

// receive reads one Engine.IO packet and answers it if it is a ping. ok is true when it completed a
// Socket.IO packet that OnPacket has not taken.
func (c *Client) receive() (p sio.Packet, ok bool, err error) {
	e, err := c.transport.next()
	if err != nil {
		return p, false, err
	}
	switch e.Type {
	case sio.Ping:
		c.transport.expect(c.patience)
		return p, false, c.transport.send(context.Background(), sio.EnginePacket{Type: sio.Pong, Data: e.Data})
	case sio.Close:
		return p, false, ErrServerClosed
	case sio.Message:
	default:
		return p, false, nil
	}
	if e.Binary {
		p, ok, err = c.decoder.Binary(e.Data, c.limits)
	} else if c.sid != "" && c.options.OnPacket != nil && c.options.OnPacket(e.Data) {
		return p, false, nil
	} else {
		p, ok, err = c.decoder.Text(e.Data, c.limits)
	}
	if err != nil {
		err = fmt.Errorf("sioclient: decoding a packet: %w", err)
	}
	return p, ok, err
}

func (c *Client) dispatch(p sio.Packet) error {
	switch p.Type {
	case sio.Event, sio.BinaryEvent:
		name, args, err := p.Event()
		if err != nil {
			return fmt.Errorf("sioclient: decoding an event: %w", err)
		}
		if c.options.OnEvent != nil {
			c.options.OnEvent(name, collect(args))
		}
	case sio.Ack, sio.BinaryAck:
		c.acked(p)
	case sio.Disconnect:
		return ErrDisconnected
	}
	return nil
}

// collect copies arguments, since the packet's bytes are reused.
func collect(args sio.Args) []json.RawMessage {
	var list []json.RawMessage
	for raw, rest, ok := args.Next(); ok; raw, rest, ok = rest.Next() {
		list = append(list, bytes.Clone(raw))
	}
	return list
}

func (c *Client) acked(p sio.Packet) {
	c.mu.Lock()
	wait, ok := c.acks[p.ID]
	delete(c.acks, p.ID)
	c.mu.Unlock()
	if !ok {
		return // late, after its context ended
	}
	value, _, some := p.Args().Next()
	if !some {
		value = []byte("null")
	}
	wait <- bytes.Clone(value) // holds one, so this never waits
}

// Emit sends an event. Arguments are marshalled as JSON; json.RawMessage is sent as it is.
func (c *Client) Emit(ctx context.Context, event string, args ...any) error {
	raw, err := marshal(event, args)
	if err != nil {
		return err
	}
	return c.sendText(ctx, sio.AppendEvent(nil, c.options.Namespace, event, raw...))
}

// EmitAck sends an event and returns the first argument of its ack, null if the ack has none. It waits until
// the context or the connection ends.
func (c *Client) EmitAck(ctx context.Context, event string, args ...any) (json.RawMessage, error) {
	raw, err := marshal(event, args)
	if err != nil {
		return nil, err
	}
	wait := make(chan json.RawMessage, 1)
	c.mu.Lock()
	id := c.nextID
	c.nextID++
	if c.acks == nil {
		c.acks = make(map[uint64]chan json.RawMessage)
	}
	c.acks[id] = wait
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.acks, id)
		c.mu.Unlock()
	}()
	if err := c.sendText(ctx, sio.AppendEventID(nil, c.options.Namespace, id, event, raw...)); err != nil {
		return nil, err
	}
	select {
	case value := <-wait:
		return value, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("sioclient: waiting for the ack of %s: %w", event, context.Cause(ctx))
	case <-c.done:
		return nil, c.Err()
	}
}

func marshal(event string, args []any) ([][]byte, error) {
	raw := make([][]byte, len(args))
	for i, arg := range args {
		b, err := json.Marshal(arg)
		if err != nil {
			return nil, fmt.Errorf("sioclient: argument %d of %s: %w", i, event, err)
		}
		raw[i] = b
	}
	return raw, nil
}

func (c *Client) sendText(ctx context.Context, packet []byte) error {
	if err := c.Err(); err != nil {
		return err
	}
	err := c.transport.send(ctx, sio.EnginePacket{Type: sio.Message, Data: packet})
	if ended := c.Err(); err != nil && ended != nil {
		return ended // the cause, rather than what it did to this write
	}
	return err
}

// SID is the public id of this namespace connection.
func (c *Client) SID() string { return c.sid }

// PID is the private id for connection state recovery, "" when the server does not offer it.
func (c *Client) PID() string { return c.pid }

// Done is closed when the connection has ended, by whichever side.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection ended, nil while it has not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close leaves the namespace and closes the connection as the official client does. It may be called again.
func (c *Client) Close() {
	select {
	case <-c.done:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
	defer cancel()
	_ = c.sendText(ctx, sio.AppendDisconnect(nil, c.options.Namespace)) // the connection may be gone
	c.end(ErrClosed, true)
}

// Abort drops the connection without a word, as a lost network does.
func (c *Client) Abort() { c.end(ErrClosed, false) }

// farewellTimeout bounds what is said when leaving: nobody waits for it.
const farewellTimeout = time.Second

// end is the one place where a connection ends; the first reason counts.
func (c *Client) end(reason error, farewell bool) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = reason
	close(c.done)
	c.mu.Unlock()
	c.transport.close(farewell)
}
