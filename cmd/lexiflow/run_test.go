package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func untilStopped(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestGroup(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		runs []func(context.Context) error
		told bool // the process is told to stop
		want string
	}{
		"told to stop":      {[]func(context.Context) error{untilStopped, untilStopped}, true, ""},
		"one fails":         {[]func(context.Context) error{untilStopped, func(context.Context) error { return broken }}, false, "b: broken"},
		"one ends":          {[]func(context.Context) error{untilStopped, func(context.Context) error { return nil }}, false, ""},
		"one fails to stop": {[]func(context.Context) error{func(ctx context.Context) error { <-ctx.Done(); return broken }}, true, "a: broken"},
		"one does not stop": {[]func(context.Context) error{untilStopped, func(context.Context) error { time.Sleep(time.Hour); return nil }}, true, "b did not stop within 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				g := newGroup(ctx)
				for i, run := range c.runs {
					g.add(string(rune('a'+i)), run)
				}
				if c.told {
					cancel()
				}
				got := ""
				if err := g.wait(time.Minute); err != nil {
					got = err.Error()
				}
				if got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
				time.Sleep(2 * time.Hour) // of the bubble's clock, for who did not stop
			})
		})
	}
}

func TestListenNamesTheFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // holds the port
	_, err = openListener(t.Context(), "listen", taken.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "--listen "+taken.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
	if _, err := openListener(t.Context(), "ops-listen", "192.0.2.1:1"); err == nil || !strings.Contains(err.Error(), "--ops-listen") {
		t.Errorf("%v", err)
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:3000": "127.0.0.1:3000", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "192.0.2.1:1": "192.0.2.1:1",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(tcp); got != want {
			t.Errorf("%s is reached at %s, want %s", address, got, want)
		}
	}
}

func TestLogFormat(t *testing.T) {
	for format, first := range map[string]string{"text": "time=", "json": "{", "auto": "{"} {
		var out bytes.Buffer
		a := &app{err: &out}
		a.logger(&config{logFormat: format}).Info("hello")
		if !strings.HasPrefix(out.String(), first) {
			t.Errorf("%s: %s", format, out.String())
		}
	}
	regular, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = regular.Close() }() // nothing of it matters
	if isTerminal(regular) || isTerminal(&bytes.Buffer{}) {
		t.Error("a file is taken for a terminal")
	}
}
