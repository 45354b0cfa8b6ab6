package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/edge/sioclient"
)

// member is one connection. What is delivered to it is counted on its reader.
type member struct {
	load   *load
	room   *room
	shard  *shard
	token  string
	client connection

	// Owned by the reader.
	window window
	offset string // with --kill-pid: of the last event, to resume behind

	live chan struct{} // with --kill-pid: the opening exchange has ended
}

// connection is a client of either protocol, *sioclient.Client or *centrifugeClient.
type connection interface {
	Done() <-chan struct{} // closed when it has ended, by whichever side
	Err() error            // why it has ended, nil while it has not
	Close()
}

// connectTimeout bounds one connection with its CONNECT and its join.
const connectTimeout = 30 * time.Second

// ramp opens the connections at the configured rate and returns how that went.
func (l *load) ramp(ctx context.Context) *connectReport {
	var (
		took   histogram
		mu     sync.Mutex // guards members, failed and opened
		opened int
		gap    = time.Duration(float64(time.Second) / l.config.connectRate)
		starts = make(chan int)
		began  = time.Now()
	)
	go func() {
		defer close(starts)
		for i := range l.config.connections {
			if !wait(ctx, time.Until(began.Add(time.Duration(i)*gap))) {
				return
			}
			starts <- i
		}
	}()
	var workers sync.WaitGroup
	for range l.config.concurrency {
		workers.Go(func() {
			for i := range starts {
				from := time.Now()
				m, err := l.open(ctx, i)
				took.record(time.Since(from))
				if err == nil && l.config.cycle {
					m.client.Close()
				}
				mu.Lock()
				switch {
				case err != nil:
					l.failed[reasonOf(err)]++
				case l.config.cycle:
					opened++
				default:
					opened++
					l.members = append(l.members, m)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	seconds := time.Since(began).Seconds()
	return &connectReport{
		Asked: l.config.connections, Opened: opened, Failed: l.failed,
		Seconds: seconds, Rate: float64(opened) / seconds, Latency: took.summary(),
	}
}

// open connects client i and has it join its room.
func (l *load) open(ctx context.Context, i int) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	m := &member{load: l, shard: &l.shards[i%len(l.shards)], token: l.config.token}
	if m.token == "" {
		var err error
		if m.token, err = mint(l.config.secret, "u"+strconv.Itoa(i), l.id, time.Now()); err != nil {
			return nil, err
		}
	}
	if l.config.killPID != 0 {
		m.live = make(chan struct{}, 1)
	}
	if len(l.rooms) > 0 {
		m.room = l.rooms[i%len(l.rooms)]
	}
	url := l.config.urls[i%len(l.config.urls)]
	if l.config.protocol == protocolCentrifuge {
		return m, m.openCentrifuge(ctx, url)
	}
	return m, m.openSocketIO(ctx, url)
}

func (m *member) openSocketIO(ctx context.Context, url string) error {
	client, err := m.dial(ctx, url, nil)
	if err != nil {
		return err
	}
	if m.room != nil {
		ack, err := client.EmitAck(ctx, "subscribe:case", map[string]string{"caseId": m.room.name})
		if err == nil {
			err = refusal(ack)
		}
		if err != nil {
			client.Abort()
			return fmt.Errorf("joining: %w", err)
		}
		m.room.members.Add(1)
	}
	m.client = client
	return nil
}

func (m *member) dial(ctx context.Context, url string, auth map[string]any) (*sioclient.Client, error) {
	c := &m.load.config
	return sioclient.Dial(ctx, sioclient.Options{
		URL: url, Namespace: c.namespace, Transport: c.transport, Token: m.token, Auth: auth, OnPacket: m.deliver,
	})
}

func (m *member) openCentrifuge(ctx context.Context, url string) error {
	channel := ""
	if m.room != nil {
		channel = "case:" + m.room.name
	}
	client, err := dialCentrifuge(ctx, url, m.token, channel, func(line []byte) { m.deliver(line) })
	if err != nil {
		return err
	}
	if m.room != nil {
		m.room.members.Add(1)
	}
	m.client = client
	return nil
}

// refusal reads an ack; the edge says no with success false and a code.
func refusal(ack json.RawMessage) error {
	if ok, found := sio.Field(ack, "success"); found && string(ok) == "false" {
		code, _ := sio.Field(ack, "code")
		return fmt.Errorf("refused with %s", code)
	}
	return nil
}

// reasonOf makes failures countable: the innermost error, without addresses that differ.
func reasonOf(err error) string {
	if refused, ok := errors.AsType[*sioclient.ConnectError](err); ok {
		return refused.Error()
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// mint makes an access token as LexiFlow's backend would (contract 1.0).
func mint(secret, user string, run uint64, now time.Time) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "type": "access", "scope": "case:*", "jti": fmt.Sprintf("lexiload-%d-%s", run, user),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	return token, nil
}

// each runs do for 0 to n-1, several at a time.
func each(concurrency, n int, do func(i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(concurrency, n) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	workers.Wait()
}
