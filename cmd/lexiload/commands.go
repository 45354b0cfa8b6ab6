package main

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/lexiflow/realtime/edge/sioclient"
)

// commands emits --command at --rate a second, over all connections in turn, and times the answers: from the
// client through edge and service and back.
func (l *load) commands(ctx context.Context) *commandReport {
	var (
		mu     sync.Mutex // guards r.Failed
		took   histogram
		under  sync.WaitGroup
		r      = &commandReport{Name: l.config.command, Failed: map[string]int{}}
		began  = time.Now()
		places = make(chan struct{}, maxUnanswered)
	)
	ctx, cancel := context.WithDeadline(ctx, began.Add(l.config.duration+connectTimeout))
	defer cancel()
	for i := 0; l.config.events == 0 || i < l.config.events; i++ {
		due := began.Add(time.Duration(float64(i) / l.config.rate * float64(time.Second)))
		if time.Since(began) > l.config.duration || !wait(ctx, time.Until(due)) {
			break
		}
		places <- struct{}{}
		client, _ := l.members[i%len(l.members)].client.(*sioclient.Client) // --command excludes the other
		r.Sent++
		under.Go(func() {
			defer func() { <-places }()
			from := time.Now()
			ack, err := client.EmitAck(ctx, l.config.command, json.RawMessage(l.config.argument))
			took.record(time.Since(from))
			if err == nil {
				err = refusal(ack)
			}
			if err != nil {
				mu.Lock()
				r.Failed[reasonOf(err)]++
				mu.Unlock()
			}
		})
	}
	under.Wait()
	r.Seconds = time.Since(began).Seconds()
	r.Rate = float64(r.Sent) / r.Seconds
	r.Latency = took.summary()
	return r
}

// maxUnanswered bounds the commands under way; beyond it the rate is not held, and the report shows that.
const maxUnanswered = 1024

// commandReport is what came back.
type commandReport struct {
	Name    string         `json:"name"`
	Sent    int            `json:"sent"`
	Failed  map[string]int `json:"failed"` // by reason
	Seconds float64        `json:"seconds"`
	Rate    float64        `json:"perSecond"`
	Latency latency        `json:"latency"` // from emit to ack
}
