package sioclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lexiflow/realtime/edge/sio"
)

// polling is the HTTP transport: one GET is always held, each packet sent is a POST.
type polling struct {
	client *http.Client
	header http.Header
	max    int
	ctx    context.Context // its end is the end of the connection
	cancel context.CancelFunc

	// Owned by the reader.
	payload  sio.PayloadReader
	more     bool
	deadline time.Time // of the next ping; zero before the handshake

	mu  sync.Mutex // one POST at a time, or the server ends the session
	url string     // with the sid once it is known; written before the reader starts
}

func newPolling(u *url.URL, o Options) *polling {
	ctx, cancel := context.WithCancel(context.Background())
	return &polling{client: http.DefaultClient, header: o.Header, max: o.MaxMessage, ctx: ctx, cancel: cancel, url: u.String()}
}

// open also takes the sid out of the handshake, which every later request carries.
func (p *polling) open() (sio.EnginePacket, error) {
	e, err := p.next()
	if err != nil {
		return e, err
	}
	if raw, ok := sio.Field(e.Data, "sid"); ok {
		p.url += "&sid=" + url.QueryEscape(strings.Trim(string(raw), `"`))
	}
	return e, nil
}

func (p *polling) expect(within time.Duration) { p.deadline = time.Now().Add(within) }

func (p *polling) next() (sio.EnginePacket, error) {
	for {
		if p.more {
			e, ok, err := p.payload.Next()
			if err != nil {
				return e, fmt.Errorf("sioclient: decoding a body: %w", err)
			}
			if ok {
				return e, nil
			}
			p.more = false
		}
		body, err := p.get()
		if err != nil {
			return sio.EnginePacket{}, err
		}
		p.payload, p.more = sio.NewPayloadReader(body), true
	}
}

func (p *polling) get() ([]byte, error) {
	ctx := p.ctx
	if !p.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, p.deadline)
		defer cancel()
	}
	body, err := p.do(ctx, http.MethodGet, nil)
	if err != nil && p.ctx.Err() == nil && ctx.Err() != nil {
		return nil, ErrPingTimeout
	}
	return body, err
}

func (p *polling) send(ctx context.Context, e sio.EnginePacket) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	stop := context.AfterFunc(p.ctx, cancel)
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.do(ctx, http.MethodPost, sio.AppendPayload(nil, e))
	return err
}

func (p *polling) do(ctx context.Context, method string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("sioclient: %s: %w", method, err)
	}
	if p.header != nil {
		request.Header = p.header.Clone()
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("sioclient: %w", withoutURL(err))
	}
	defer func() { _ = response.Body.Close() }() // nothing depends on it
	answer, err := io.ReadAll(io.LimitReader(response.Body, int64(p.max)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("sioclient: reading the answer to %s: %w", method, err)
	case len(answer) > p.max:
		return nil, fmt.Errorf("sioclient: reading the answer to %s: %w", method, errTooLarge)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("sioclient: %s answered %s: %.200s", method, response.Status, answer)
	}
	return answer, nil
}

// withoutURL takes the URL out of an error: it may hold a token.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (p *polling) close(farewell bool) {
	if farewell && p.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
		_ = p.send(ctx, sio.EnginePacket{Type: sio.Close}) // perhaps nobody is there
		cancel()
	}
	p.cancel()
}
