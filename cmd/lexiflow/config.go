package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/edge"
	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// config is what the settings of table.go come to for one command. A command reads only those that it
// has; the others hold their defaults.
type config struct {
	settings []setting
	env      func(string) (string, bool)

	listen, natsListen, opsListen string
	dataDir                       string

	natsURL, natsCreds, natsNKey       string
	natsTLSCA, natsTLSCert, natsTLSKey string
	replicas                           int

	jwtSecret, jwtKeyFile, jwksURL string
	jwtIssuer, jwtAudience         string
	noQueryToken                   bool
	access                         edge.AccessMode
	origins                        []string

	name                                string
	maxConnections, maxPerUser          int
	maxRooms, rateLimit                 int
	maxPayload, memoryLimit             int64
	compression                         bool
	compressThreshold                   int64
	pingInterval, pingTimeout, draining time.Duration
	commandTimeout, idleAfter           time.Duration
	onExpiry                            edge.ExpiryMode
	sessionMaxAge, resumeWindow         time.Duration
	engine                              engine.Mode
	logFormat                           string
	logLevel                            slog.Level

	class             subjects.Class
	noValidate        bool
	asyncAPI          bool
	part              string
	timeout           time.Duration
	url, token        string
	user, namespace   string
	cases, rooms      []string
	count             int
	duration, expires time.Duration
	scope, tokenType  string
	email, role       string

	revokedFor     time.Duration
	undo           bool
	notice, title  string
	message, visit string
	priority       string

	services     []string // that up runs
	grace        time.Duration
	digest, push time.Duration
	acceptGap    bool
}

// commands is a set of commands, so that one row of the table can name several.
type commands uint16

const (
	inUp commands = 1 << iota
	inNATS
	inEdge
	inPublish
	inListen
	inToken
	inVerify
	inRevoke
	inAccess
	inNotify
	inPresence
	inNotifyd
	inMsgd
	inDashboardd
	inSchema

	inServices = inPresence | inNotifyd | inMsgd | inDashboardd
	inServers  = inUp | inNATS | inEdge | inServices
	inBusTool  = inPublish | inRevoke | inAccess | inNotify // short commands that need the bus
)

var commandNames = [...]string{
	"up", "nats", "edge", "publish", "listen", "token", "token verify", "revoke", "access", "notify",
	"presence", "notifyd", "msgd", "dashboardd", "schema",
}

// names lists the set's members.
func (c commands) names() (names []string) {
	for i, name := range commandNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// setting is one row of the table. Where commands have different defaults, a flag has several rows.
type setting struct {
	flag     string
	vars     []variable // the first that is set counts; nil means LEXIFLOW_<FLAG>
	value    value
	standard string // the default, as a flag would give it
	in       commands
	secret   bool
	help     string

	origin string // where the value came from, after load
}

// value is where a setting goes and how it is read: a pflag.Value.
type value interface {
	Set(text string) error
	String() string
	Type() string
}

// variable is one environment variable of a setting.
type variable struct {
	name string
	// read turns its text into what the flag takes; nil when that is the same.
	read func(text string) (string, error)
}

// variables are the setting's own names, else the general rule.
func (s *setting) variables() []variable {
	if s.vars != nil {
		return s.vars
	}
	return []variable{{name: "LEXIFLOW_" + strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_"))}}
}

// badValue is a value that is not allowed.
type badValue struct {
	s           *setting
	where, text string
	err         error // says what is allowed
}

// Error does not repeat a secret, nor the password in a URL.
func (e *badValue) Error() string {
	switch {
	case e.s.secret:
		return fmt.Sprintf("%s: %v", e.where, e.err)
	case e.s.value.Type() == "url":
		return fmt.Sprintf("%s %q: %v", e.where, redact(e.text), e.err)
	}
	return fmt.Sprintf("%s %q: %v", e.where, e.text, e.err)
}

func (e *badValue) Unwrap() error { return e.err }

// flagValue makes errors of a flag name it, whatever the flag library writes around them.
type flagValue struct {
	value
	s *setting
}

func (f flagValue) Set(text string) error {
	if err := f.value.Set(text); err != nil {
		return &badValue{f.s, "--" + f.s.flag, text, err}
	}
	return nil
}

// configure gives cmd the flags of the settings that belong to it. The config is complete when cmd's
// RunE begins.
func (a *app) configure(cmd *cobra.Command, in commands) *config {
	c := &config{env: a.env}
	for _, s := range c.table(a.env) {
		if s.in&in != 0 {
			c.settings = append(c.settings, s)
		}
	}
	for i := range c.settings {
		s := &c.settings[i]
		s.reset()
		flag := cmd.Flags().VarPF(flagValue{s.value, s}, s.flag, "", s.usage())
		if s.value.Type() == "bool" {
			flag.NoOptDefVal = "true"
		}
	}
	cmd.Flags().SortFlags = false
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if bad, ok := errors.AsType[*badValue](err); ok {
			return bad
		}
		return err
	})
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return c.load(cmd) }
	return c
}

// reset gives the setting its default.
func (s *setting) reset() {
	s.origin = "default"
	if s.standard == "" {
		return
	}
	if err := s.value.Set(s.standard); err != nil {
		panic(fmt.Sprintf("default %q of --%s: %v", s.standard, s.flag, err)) // a test reads every default
	}
}

// usage is the flag's line of help with its variables, because both are documented in one place.
func (s *setting) usage() string {
	var names []string
	for _, v := range s.variables() {
		names = append(names, "$"+v.name)
	}
	return s.help + " [" + strings.Join(names, ", ") + "]"
}

// load puts the environment behind the flags.
func (c *config) load(cmd *cobra.Command) error {
	for i := range c.settings {
		s := &c.settings[i]
		if cmd.Flags().Changed(s.flag) {
			s.origin = "flag"
			continue
		}
		if err := s.fromEnvironment(c.env); err != nil {
			return &usageError{err}
		}
	}
	return nil
}

// fromEnvironment takes the first variable that is set and not empty.
func (s *setting) fromEnvironment(env func(string) (string, bool)) error {
	for _, v := range s.variables() {
		given, ok := env(v.name)
		if !ok || given == "" {
			continue
		}
		text, err := given, error(nil)
		if v.read != nil {
			text, err = v.read(given)
		}
		if err == nil {
			err = s.value.Set(text)
		}
		if err != nil {
			return &badValue{s, v.name, given, err}
		}
		s.origin = v.name
		return nil
	}
	return nil
}

// find returns the row of a flag.
func (c *config) find(flag string) *setting {
	i := slices.IndexFunc(c.settings, func(s setting) bool { return s.flag == flag })
	return &c.settings[i]
}

// rank orders origins: a flag was meant more than a variable, that more than a default.
func (s *setting) rank() int {
	switch s.origin {
	case "flag":
		return 2
	case "default":
		return 0
	}
	return 1
}

// given names where a value came from, for errors about it.
func (s *setting) given() string {
	if s.rank() == 1 {
		return s.origin
	}
	return "--" + s.flag
}

func (c *config) connectOptions(log *slog.Logger, name string) subjects.ConnectOptions {
	return subjects.ConnectOptions{
		URL: c.natsURL, Name: name,
		CredsFile: c.natsCreds, NKeyFile: c.natsNKey,
		CAFile: c.natsTLSCA, CertFile: c.natsTLSCert, KeyFile: c.natsTLSKey,
		Logger: log,
	}
}

// streamOptions are what the streams are made with. The bucket of sessions keeps each for the window and
// for the half of it within which edges write it again; where nobody gave a window it stays as it is.
func (c *config) streamOptions() subjects.StreamOptions {
	o := subjects.StreamOptions{Replicas: c.replicas}
	if c.resumeWindow > 0 && c.find("resume-window").rank() > 0 {
		o.SessionMaxAge = c.resumeWindow * 3 / 2
	}
	return o
}

// checkTogether finds settings that are fine alone and wrong together.
func (c *config) checkTogether() error {
	if (c.natsTLSCert == "") != (c.natsTLSKey == "") {
		return usagef("--nats-tls-cert and --nats-tls-key: give both or none")
	}
	if c.natsCreds != "" && c.natsNKey != "" {
		return usagef("--nats-creds and --nats-nkey: give one of them")
	}
	return nil
}

// checkKeys counts the sources of the key that verifies tokens: none is allowed only where one is made.
func (c *config) checkKeys(noneIsFine bool) error {
	var given []string
	for _, flag := range []string{"jwt-secret", "jwt-key-file", "jwks-url"} {
		if s := c.find(flag); s.value.String() != "" {
			given = append(given, s.given())
		}
	}
	switch {
	case len(given) > 1:
		return usagef("%s: give one of them only", strings.Join(given, " and "))
	case len(given) == 0 && !noneIsFine:
		return usagef("no key to verify tokens with: give --jwt-secret (or JWT_SECRET), --jwt-key-file or --jwks-url")
	}
	return nil
}

// shown is the value as people may see it. A secret is never shown; a URL loses its password.
func (s *setting) shown() string {
	text := s.value.String()
	switch {
	case s.secret && text != "":
		return "(hidden)"
	case s.value.Type() == "url":
		return redact(text)
	}
	return text
}

// redact removes what stands before the @ of each URL in a comma-separated list: a user and password,
// or a token.
func redact(list string) string {
	urls := strings.Split(list, ",")
	for i, u := range urls {
		at := strings.LastIndexByte(u, '@')
		if at < 0 {
			continue
		}
		scheme := ""
		if before, _, ok := strings.Cut(u, "://"); ok {
			scheme = before + "://"
		}
		urls[i] = scheme + "(hidden)" + u[at:]
	}
	return strings.Join(urls, ",")
}
