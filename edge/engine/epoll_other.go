//go:build !linux

package engine

import (
	"context"
	"errors"
	"net"
)

// vector is what a writer reuses between writes; net.Conn needs nothing.
type vector struct{}

// poller stands for the event loops that this system does not have.
type poller struct{}

func newPoller(*Engine, int) (*poller, error) {
	return nil, errors.New("event loops need Linux: use Mode Auto or Goroutines")
}

func (*poller) accept(*net.TCPListener) error { return ErrClosed }

func (*poller) adopt(net.Conn, *Session, *Request, bool, []byte) bool { return false }

func (*poller) stopAccepting() {}

func (*poller) close(context.Context) {}
