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
	client *sioclient.Client

	// Owned by the reader.
	window window
}

// connectTimeout bounds one connection with its CONNECT and its join.
const connectTimeout = 30 * time.Second

// ramp opens the connections at the configured rate and returns how that went.
func (l *load) ramp(ctx context.Context) *connectReport {
	var (
		took   histogram
		mu     sync.Mutex // guards members and failed
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
				mu.Lock()
				if err != nil {
					l.failed[reasonOf(err)]++
				} else {
					l.members = append(l.members, m)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	seconds := time.Since(began).Seconds()
	return &connectReport{
		Asked: l.config.connections, Opened: len(l.members), Failed: l.failed,
		Seconds: seconds, Rate: float64(len(l.members)) / seconds, Latency: took.summary(),
	}
}

// open connects client i and has it join its room.
func (l *load) open(ctx context.Context, i int) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	token := l.config.token
	if token == "" {
		var err error
		if token, err = mint(l.config.secret, "u"+strconv.Itoa(i), l.id, time.Now()); err != nil {
			return nil, err
		}
	}
	m := &member{load: l, shard: &l.shards[i%len(l.shards)]}
	if len(l.rooms) > 0 {
		m.room = l.rooms[i%len(l.rooms)]
	}
	var err error
	m.client, err = sioclient.Dial(ctx, sioclient.Options{
		URL: l.config.urls[i%len(l.config.urls)], Namespace: l.config.namespace, Transport: l.config.transport,
		Token: token, OnPacket: m.deliver,
	})
	if err != nil {
		return nil, err
	}
	if m.room == nil {
		return m, nil
	}
	ack, err := m.client.EmitAck(ctx, "subscribe:case", map[string]string{"caseId": m.room.name})
	if err == nil {
		err = refusal(ack)
	}
	if err != nil {
		m.client.Abort()
		return nil, fmt.Errorf("joining: %w", err)
	}
	m.room.members.Add(1)
	return m, nil
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
