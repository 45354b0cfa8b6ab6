package subjects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ConnectOptions say where the bus is and who connects. The zero value connects to
// nats://127.0.0.1:4222 without credentials.
type ConnectOptions struct {
	URL  string // one or several, comma-separated; default nats://127.0.0.1:4222
	Name string // shown by the server's monitoring

	// Credentials, each the path of a file; empty means not used.
	CredsFile string // user JWT and seed, "decentralised" authentication
	NKeyFile  string // seed of an NKey user
	CAFile    string // certificates that may have signed the server's
	CertFile  string // client certificate, needs KeyFile
	KeyFile   string

	InboxPrefix string // default _INBOX; a prefix of its own per service lets the server forbid the others'

	// InProcess connects to a server in this process instead of to URL;
	// [github.com/lexiflow/realtime/subjects/natsd.Server] is one.
	InProcess nats.InProcessConnProvider

	Logger *slog.Logger // default slog.Default()
}

// How often an absent server is tried, and how often the log says so.
const (
	connectWait     = 250 * time.Millisecond
	connectReminder = 10 * time.Second
)

// Connect returns a connection that reconnects for ever. While no server answers
// it tries again, says so in the log at once and then every 10 s, and gives up
// when ctx ends. What waiting cannot mend (an unreadable credentials file, a
// malformed URL, refused credentials) is returned at once.
//
// The caller owns the connection and closes it; ctx matters for connecting only.
func Connect(ctx context.Context, o ConnectOptions) (*nats.Conn, error) {
	if o.URL == "" {
		o.URL = nats.DefaultURL
	}
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	where := redact(o.URL)
	if o.InProcess != nil {
		where = "this process"
	}
	opts, err := o.natsOptions(log)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	var lastSaid time.Time
	for {
		nc, err := opts.Connect()
		if err == nil {
			log.Info("nats connected", "url", where, "server", nc.ConnectedServerName())
			return nc, nil
		}
		if hopeless(err) {
			return nil, fmt.Errorf("connecting to NATS at %s: %w", where, withoutURL(err))
		}
		if time.Since(lastSaid) >= connectReminder {
			log.Warn("nats is not there yet, waiting for it", "url", where, "error", err)
			lastSaid = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to NATS at %s: %w, last attempt: %w", where, ctx.Err(), err)
		case <-time.After(connectWait + rand.N(connectWait)):
		}
	}
}

// natsOptions applies every option once, so that an unusable file shows before the
// first attempt and not as a server that seems absent.
func (o ConnectOptions) natsOptions(log *slog.Logger) (nats.Options, error) {
	opts := nats.GetDefaultOptions()
	for address := range strings.SplitSeq(o.URL, ",") { // nats.Connect would split them, Options.Connect does not
		opts.Servers = append(opts.Servers, strings.TrimSpace(address))
	}
	opts.Name = o.Name
	opts.MaxReconnect = -1
	opts.ReconnectWait = connectWait
	opts.PingInterval = 20 * time.Second
	opts.MaxPingsOut = 2
	opts.InProcessServer = o.InProcess
	apply := []nats.Option{nats.ReconnectJitter(connectWait, connectWait)}
	if o.CredsFile != "" {
		apply = append(apply, readable(o.CredsFile), nats.UserCredentials(o.CredsFile))
	}
	if o.NKeyFile != "" {
		option, err := nats.NkeyOptionFromSeed(o.NKeyFile)
		if err != nil {
			return opts, fmt.Errorf("NKey file %s: %w", o.NKeyFile, err)
		}
		apply = append(apply, option)
	}
	if o.CAFile != "" {
		apply = append(apply, nats.RootCAs(o.CAFile))
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return opts, errors.New("a client certificate needs both its certificate file and its key file")
	}
	if o.CertFile != "" {
		apply = append(apply, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	if o.InboxPrefix != "" {
		apply = append(apply, nats.CustomInboxPrefix(o.InboxPrefix))
	}
	for _, option := range append(apply, logEvents(log)...) {
		if err := option(&opts); err != nil {
			return opts, err
		}
	}
	return opts, nil
}

// logEvents reports what happens to a connection after it was made.
func logEvents(log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("nats connection lost, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("nats reconnected", "url", nc.ConnectedUrlRedacted(), "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub == nil {
				log.Warn("nats reports an error", "error", err)
				return
			}
			log.Warn("nats reports an error", "error", err, "subject", sub.Subject)
		}),
	}
}

// readable makes a file that cannot be read an error of its own; nats.go would try
// it at every attempt.
func readable(file string) nats.Option {
	return func(*nats.Options) error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		return f.Close()
	}
}

// hopeless reports errors that another attempt would only repeat.
func hopeless(err error) bool {
	if _, malformed := errors.AsType[*url.Error](err); malformed {
		return true
	}
	for _, target := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrNkeysNotSupported, nats.ErrSecureConnRequired, nats.ErrSecureConnWanted,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// withoutURL takes the URL out of a parse error, because it may hold a password.
func withoutURL(err error) error {
	if malformed, ok := errors.AsType[*url.Error](err); ok {
		return malformed.Err
	}
	return err
}

// redact removes passwords and tokens from a list of URLs.
func redact(list string) string {
	var b strings.Builder
	for i, one := range strings.Split(list, ",") {
		if i > 0 {
			b.WriteByte(',')
		}
		if at := strings.LastIndexByte(one, '@'); at >= 0 {
			scheme, _, ok := strings.Cut(one, "://")
			if ok {
				b.WriteString(scheme + "://")
			}
			one = "xxxxx" + one[at:]
		}
		b.WriteString(one)
	}
	return b.String()
}
