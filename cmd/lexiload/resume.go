package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lexiflow/realtime/edge/sioclient"
)

// With --kill-pid the edge dies in the middle of the run, and its clients come back through another as the
// official client does: after 1 s, give or take a half, with pid and offset. What they are owed is counted
// like every other delivery: an event published while they were away is expected once.

// comeback is what happens to clients after the kill.
type comeback struct {
	load   *load
	killed atomic.Int64 // since the run began; 0: not yet

	lost, resumed, fresh, failed atomic.Int64
	last                         atomic.Int64 // when the last one was live again, since the run began
	took                         histogram
}

// Waits between tries, as socket.io-client's reconnectionDelay and reconnectionDelayMax.
const (
	firstDelay = time.Second
	lastDelay  = 5 * time.Second
)

// beginKill follows the members and arranges for the kill. The function that it returns ends that and says
// what happened; nil when nothing was to be killed.
func (l *load) beginKill(ctx context.Context) (end func() *resumeReport) {
	if l.config.killPID == 0 {
		return func() *resumeReport { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &comeback{load: l}
	var following sync.WaitGroup
	following.Go(func() {
		if wait(ctx, l.config.duration/4) {
			c.kill(l.config.killPID)
		}
	})
	for i, m := range l.members {
		following.Go(func() { c.follow(ctx, m, i) })
	}
	return func() *resumeReport {
		cancel()
		following.Wait()
		return c.report()
	}
}

func (c *comeback) kill(pid int) {
	c.killed.Store(int64(time.Since(c.load.start)))
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		c.load.say("lexiload: --kill-pid %d: %v", pid, err)
	}
}

// follow brings a member back whenever it is cut off.
func (c *comeback) follow(ctx context.Context, m *member, i int) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.client.Done():
		}
		c.lost.Add(1)
		delay := firstDelay
		for try := i; !c.again(ctx, m, try, delay); try++ {
			if ctx.Err() != nil {
				return
			}
			delay = min(2*delay, lastDelay)
		}
	}
}

// again makes one try and returns whether the member is live.
func (c *comeback) again(ctx context.Context, m *member, try int, delay time.Duration) bool {
	if !wait(ctx, delay/2+rand.N(delay)) {
		return false
	}
	returns := c.load.config.returns
	within, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	old, _ := m.client.(*sioclient.Client) // --kill-pid excludes the other
	auth := map[string]any{"pid": old.PID()}
	if m.offset != "" {
		auth["offset"] = m.offset
	}
	select {
	case <-m.live: // of the first connection
	default:
	}
	client, err := m.dial(within, returns[try%len(returns)], auth)
	if err != nil {
		c.failed.Add(1)
		return false
	}
	m.client = client
	select {
	case <-m.live:
	case <-client.Done():
		return true // cut off again: follow sees it
	case <-within.Done():
		return true
	}
	if client.PID() == old.PID() {
		c.resumed.Add(1)
	} else {
		c.fresh.Add(1)
	}
	now := time.Since(c.load.start)
	c.took.record(now - time.Duration(c.killed.Load()))
	for last := c.last.Load(); int64(now) > last && !c.last.CompareAndSwap(last, int64(now)); last = c.last.Load() {
	}
	return true
}

// remember keeps an event's offset and notices the end of the opening exchange. It runs on the reader.
func (m *member) remember(packet []byte) {
	if offset, ok := offsetOf(packet); ok {
		m.offset = offset
	}
	if bytes.Contains(packet, []byte(`["connected",`)) {
		select {
		case m.live <- struct{}{}:
		default:
		}
	}
}

// offsetOf is the last argument of an event when it is a string of digits, as the edge's offsets are.
func offsetOf(packet []byte) (string, bool) {
	rest, ok := bytes.CutSuffix(packet, []byte(`"]`))
	if !ok || len(packet) == 0 || packet[0] != '2' {
		return "", false
	}
	digits := rest[bytes.LastIndexByte(rest, '"')+1:]
	if _, err := strconv.ParseUint(string(digits), 10, 64); err != nil {
		return "", false
	}
	return string(digits), true
}

// resumeReport is how the clients of the killed edge came back.
type resumeReport struct {
	Lost    int64   `json:"cutOff"`
	Resumed int64   `json:"resumed"`
	Fresh   int64   `json:"beganAnew"`
	Failed  int64   `json:"triesFailed"`
	Seconds float64 `json:"secondsToAllLive"`
	Latency latency `json:"latency"` // from the kill to live
}

func (c *comeback) report() *resumeReport {
	return &resumeReport{
		Lost: c.lost.Load(), Resumed: c.resumed.Load(), Fresh: c.fresh.Load(), Failed: c.failed.Load(),
		Seconds: time.Duration(c.last.Load() - c.killed.Load()).Seconds(), Latency: c.took.summary(),
	}
}

// complete tells whether everybody who was cut off has resumed; that nothing was lost is counted elsewhere.
func (r *resumeReport) complete() bool { return r.Lost > 0 && r.Resumed == r.Lost }
