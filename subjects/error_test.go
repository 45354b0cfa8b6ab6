package subjects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestWhatCrossesTheBus(t *testing.T) {
	secret := errors.New("password of the database")
	for name, c := range map[string]struct {
		err  error
		code Code
		text string // part of the message that crosses
	}{
		"nil":              {nil, "", ""},
		"ours":             {Errorf(CodeForbidden, "no access to %s", "case 1"), CodeForbidden, "no access to case 1"},
		"ours, wrapped":    {fmt.Errorf("reading: %w", Errorf(CodeNotFound, "no such case")), CodeNotFound, "no such case"},
		"no responders":    {nats.ErrNoResponders, CodeUnavailable, "no service"},
		"no stream":        {fmt.Errorf("x: %w", jetstream.ErrNoStreamResponse), CodeUnavailable, "no service"},
		"deadline":         {context.DeadlineExceeded, CodeTimeout, "perhaps done"},
		"timeout":          {nats.ErrTimeout, CodeTimeout, "perhaps done"},
		"larger than NATS": {nats.ErrMaxPayload, CodeMessageTooLarge, "larger"},
		"anything else":    {secret, CodeInternal, "internal error"},
		"a publish":        {publishError("lex.case.1.x", secret), CodeInternal, "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CodeOf(c.err); got != c.code {
				t.Errorf("code %s, want %s", got, c.code)
			}
			if got := MessageOf(c.err); !strings.Contains(got, c.text) || strings.Contains(got, "password") {
				t.Errorf("message %q, want %q", got, c.text)
			}
		})
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	err := Errorf(CodeInvalidInput, "reading: %w", io.ErrUnexpectedEOF)
	if !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != "reading: unexpected EOF" {
		t.Errorf("%v", err)
	}
	logged := publishError("lex.case.1.x", io.ErrUnexpectedEOF)
	if !errors.Is(logged, io.ErrUnexpectedEOF) || logged.Error() != "internal error: publishing lex.case.1.x: unexpected EOF" {
		t.Errorf("%v", logged)
	}
}

func TestCodeValid(t *testing.T) {
	for code, want := range map[Code]bool{
		CodeUserConnectionLimit: true, "404": true, "A": true, "": false, "a": false, "A B": false, "A\nB": false,
		Code(strings.Repeat("A", 65)): false,
	} {
		if code.Valid() != want {
			t.Errorf("%q valid: %v", code, !want)
		}
	}
}
