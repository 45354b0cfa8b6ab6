package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// settingsOf asks config what a command would use.
func settingsOf(t *testing.T, env map[string]string, args ...string) map[string]entry {
	t.Helper()
	o := lexiflow(t.Context(), env, "", append([]string{"config", "--json"}, args...)...)
	if o.code != exitOK {
		t.Fatalf("config %q: exit code %d: %s", args, o.code, o.remark)
	}
	var entries []entry
	if err := json.Unmarshal([]byte(o.out), &entries); err != nil {
		t.Fatal(err)
	}
	byFlag := make(map[string]entry, len(entries))
	for _, e := range entries {
		byFlag[e.Flag] = e
	}
	return byFlag
}

func TestPrecedence(t *testing.T) {
	const interval = "REALTIME_PING_INTERVAL_MS"
	for name, c := range map[string]struct {
		args          []string
		env           map[string]string
		flag          string
		value, origin string
	}{
		"default":                   {[]string{"edge"}, nil, "--ping-interval", "25s", "default"},
		"variable":                  {[]string{"edge"}, map[string]string{interval: "1500"}, "--ping-interval", "1.5s", interval},
		"empty variable":            {[]string{"edge"}, map[string]string{interval: ""}, "--ping-interval", "25s", "default"},
		"flag over variable":        {[]string{"edge", "--ping-interval", "2m"}, map[string]string{interval: "1500"}, "--ping-interval", "2m0s", "flag"},
		"flag over a bad variable":  {[]string{"edge", "--ping-interval", "2m"}, map[string]string{interval: "x"}, "--ping-interval", "2m0s", "flag"},
		"general variable":          {[]string{"edge"}, map[string]string{"LEXIFLOW_ACCESS": "open"}, "--access", "open", "LEXIFLOW_ACCESS"},
		"listen of edge":            {[]string{"edge"}, nil, "--listen", ":3000", "default"},
		"listen of up":              {[]string{"up"}, nil, "--listen", "127.0.0.1:3000", "default"},
		"PORT of edge":              {[]string{"edge"}, map[string]string{"PORT": "8080"}, "--listen", ":8080", "PORT"},
		"PORT of up":                {[]string{"up"}, map[string]string{"PORT": "8080"}, "--listen", "127.0.0.1:8080", "PORT"},
		"own variable before PORT":  {[]string{"up"}, map[string]string{"PORT": "1", "LEXIFLOW_LISTEN": ":2"}, "--listen", ":2", "LEXIFLOW_LISTEN"},
		"origins":                   {[]string{"edge"}, map[string]string{"REALTIME_CORS_ORIGIN": "https://a.example, https://b.example"}, "--origins", "https://a.example,https://b.example", "REALTIME_CORS_ORIGIN"},
		"repeated flag":             {[]string{"edge", "--origins", "https://a.example", "--origins", "*"}, nil, "--origins", "https://a.example,*", "flag"},
		"bytes":                     {[]string{"edge"}, map[string]string{"REALTIME_MAX_HTTP_BUFFER_SIZE": "1000000"}, "--max-payload", "1000000", "REALTIME_MAX_HTTP_BUFFER_SIZE"},
		"size with unit":            {[]string{"edge", "--memory-limit", "2GiB"}, nil, "--memory-limit", "2GiB", "flag"},
		"limits":                    {[]string{"up"}, map[string]string{"WS_MAX_CONNECTIONS_PER_USER": "9"}, "--max-connections-per-user", "9", "WS_MAX_CONNECTIONS_PER_USER"},
		"seconds without a unit":    {[]string{"token"}, map[string]string{"JWT_EXPIRATION": "900"}, "--expires", "15m0s", "JWT_EXPIRATION"},
		"a duration with a unit":    {[]string{"token"}, map[string]string{"JWT_EXPIRATION": "1h"}, "--expires", "1h0m0s", "JWT_EXPIRATION"},
		"data folder by convention": {[]string{"up"}, map[string]string{"XDG_DATA_HOME": "/x"}, "--data-dir", "/x/lexiflow", "default"},
		"data folder at home":       {[]string{"up"}, map[string]string{"HOME": "/h"}, "--data-dir", "/h/.local/share/lexiflow", "default"},
		"data folder without home":  {[]string{"up"}, nil, "--data-dir", "lexiflow-data", "default"},
		"a switch":                  {[]string{"edge", "--no-query-token"}, nil, "--no-query-token", "true", "flag"},
	} {
		t.Run(name, func(t *testing.T) {
			got := settingsOf(t, c.env, c.args...)[c.flag]
			if got.Value != c.value || got.Origin != c.origin {
				t.Errorf("%s is %q from %q, want %q from %q", c.flag, got.Value, got.Origin, c.value, c.origin)
			}
		})
	}
}

func TestConfigHidesSecrets(t *testing.T) {
	env := map[string]string{
		"JWT_SECRET": testSecret, "LEXIFLOW_TOKEN": "eyJsecret", "LEXIFLOW_NATS": "nats://user:password@n1:4222,tls://s3cr3t@n2:4222",
	}
	for _, args := range [][]string{{"config"}, {"config", "--json"}, {"config", "edge"}, {"config", "listen", "--json"}} {
		o := lexiflow(t.Context(), env, "", args...)
		if o.code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, o.code, o.remark)
		}
		for _, secret := range []string{testSecret, "eyJsecret", "password", "s3cr3t"} {
			if strings.Contains(o.out+o.remark, secret) {
				t.Errorf("%q prints %s", args, secret)
			}
		}
		for _, want := range []string{"(hidden)", "nats://(hidden)@n1:4222,tls://(hidden)@n2:4222", "JWT_SECRET"} {
			if !strings.Contains(o.out, want) {
				t.Errorf("%q does not print %s", args, want)
			}
		}
	}
}

// Every row can be used: its default is one that it allows, and no two rows of a command share a flag
// or a variable.
func TestTable(t *testing.T) {
	env := func(string) (string, bool) { return "", false }
	taken := make(map[string]string)
	for _, s := range (&config{}).table(env) {
		s.reset() // panics on a default that is not allowed
		if s.help == "" || len(s.in.names()) == 0 {
			t.Errorf("--%s has no help or no command", s.flag)
		}
		names := []string{"--" + s.flag}
		for _, v := range s.variables() {
			names = append(names, v.name)
		}
		for _, command := range s.in.names() {
			for _, name := range names {
				if other, ok := taken[command+" "+name]; ok {
					t.Errorf("%s of %s is taken by --%s and --%s", name, command, other, s.flag)
				}
				taken[command+" "+name] = s.flag
			}
		}
	}
}

// A window that somebody chose makes the bucket of sessions outlive it; the default leaves it alone.
func TestResumeWindowMakesTheBucketsAge(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want time.Duration
	}{
		"default":     {nil, 0},
		"chosen":      {[]string{"--resume-window", "20m"}, 30 * time.Minute},
		"the default": {[]string{"--resume-window", "10m"}, 15 * time.Minute},
	} {
		a := &app{env: func(string) (string, bool) { return "", false }}
		cmd := &cobra.Command{Use: "edge"}
		settings := a.configure(cmd, inEdge)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		if err := settings.load(cmd); err != nil {
			t.Fatal(err)
		}
		if got := settings.streamOptions().SessionMaxAge; got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	a := &app{env: func(string) (string, bool) { return "", false }}
	if got := a.configure(&cobra.Command{Use: "nats"}, inNATS).streamOptions().SessionMaxAge; got != 0 {
		t.Errorf("nats: %v", got)
	}
}

// What scripts rely on (design 5) and what the original was configured with (contract 7).
func TestFixedNames(t *testing.T) {
	common := "--listen --jwt-secret --access --max-connections --max-connections-per-user --max-rooms-per-user --rate-limit " +
		"--ping-interval --ping-timeout --max-payload --origins --jwt-key-file --jwks-url --jwt-issuer --jwt-audience --ops-listen " +
		"--log-format --log-level --memory-limit --engine --resume-window --idle-after --on-expiry --session-max-age --command-timeout"
	for command, flags := range map[string]string{
		"up":      common + " --nats-listen --data-dir",
		"edge":    common + " --nats --nats-creds --nats-nkey --nats-tls-ca --nats-tls-cert --nats-tls-key",
		"nats":    "--nats-listen --data-dir --ops-listen",
		"publish": "--nats",
		"listen":  "--nats --url --token --jwt-secret --user --namespace --case --count --for",
		"token":   "--user --scope --expires --type",
		"revoke":  "--nats --timeout --for --undo",
		"access":  "--nats --timeout",
		"notify":  "--nats --timeout --type --title --message --priority --action-url",
	} {
		have := settingsOf(t, nil, command)
		for flag := range strings.FieldsSeq(flags) {
			if _, ok := have[flag]; !ok {
				t.Errorf("%s has no %s", command, flag)
			}
		}
	}
	have := settingsOf(t, nil, "edge")
	for flag, variable := range map[string]string{
		"--jwt-secret": "JWT_SECRET", "--origins": "REALTIME_CORS_ORIGIN", "--ping-interval": "REALTIME_PING_INTERVAL_MS",
		"--ping-timeout": "REALTIME_PING_TIMEOUT_MS", "--max-payload": "REALTIME_MAX_HTTP_BUFFER_SIZE",
		"--max-connections": "WS_MAX_GLOBAL_CONNECTIONS", "--max-connections-per-user": "WS_MAX_CONNECTIONS_PER_USER",
		"--max-rooms-per-user": "WS_MAX_ROOMS_PER_USER", "--rate-limit": "WS_RATE_LIMIT_EVENTS_PER_MINUTE", "--listen": "PORT",
	} {
		if !slices.Contains(have[flag].Variables, variable) {
			t.Errorf("%s is not set by %s", flag, variable)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1048576": 1 << 20, "1MiB": 1 << 20, "3 KiB": 3 << 10, "1GB": 1e9, "2MB": 2e6, "7B": 7} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "1.5MiB", "-1", "9999999999GiB", "1 M"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
	for n, want := range map[int64]string{1 << 20: "1MiB", 1000: "1000", 5 << 30: "5GiB", 0: "0"} {
		if got := showSize(n); got != want {
			t.Errorf("%d is shown as %s, want %s", n, got, want)
		}
	}
}
