package natsd

import (
	"context"
	"fmt"
	"log/slog"
)

// logger passes what NATS says on to slog. NATS formats its messages itself, so
// they are an attribute here and the message stays one that can be searched for.
type logger struct {
	log   *slog.Logger
	fatal chan error // the first fatal error; NATS expects to die there, we return it from Start
}

func (l *logger) say(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "nats server", "detail", fmt.Sprintf(format, args...))
	}
}

func (l *logger) Noticef(format string, args ...any) { l.say(slog.LevelDebug, format, args) }
func (l *logger) Debugf(format string, args ...any)  { l.say(slog.LevelDebug, format, args) }
func (l *logger) Tracef(format string, args ...any)  { l.say(slog.LevelDebug, format, args) }
func (l *logger) Warnf(format string, args ...any)   { l.say(slog.LevelWarn, format, args) }
func (l *logger) Errorf(format string, args ...any)  { l.say(slog.LevelError, format, args) }

func (l *logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	select {
	case l.fatal <- err:
	default:
		l.say(slog.LevelError, format, args)
	}
}
