package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
)

// asProgram tells the test binary to be the program: processes of the tests below are then the code
// under test, race detector included, without a second build.
const asProgram = "LEXIFLOW_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// outcome is how a command line ended.
type outcome struct {
	code        int
	out, remark string
}

// lexiflow runs a command line in this process, with these variables and no others.
func lexiflow(ctx context.Context, variables map[string]string, stdin string, args ...string) outcome {
	var out, remarks bytes.Buffer
	a := &app{
		program: "lexiflow", in: strings.NewReader(stdin), out: &out, err: &remarks,
		env: func(name string) (string, bool) {
			v, ok := variables[name]
			return v, ok
		},
	}
	code := a.execute(ctx, args)
	return outcome{code, out.String(), remarks.String()}
}

const testSecret = "a-secret-of-the-tests-0123456789"

func TestWrongUsage(t *testing.T) {
	secret := map[string]string{"JWT_SECRET": testSecret}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		says []string
	}{
		"no command":              {nil, nil, []string{"no command", "up "}},
		"an unknown command":      {[]string{"fly"}, nil, []string{`"fly"`}},
		"a near command":          {[]string{"publsh"}, nil, []string{"did you mean publish"}},
		"an unknown flag":         {[]string{"up", "--bogus"}, nil, []string{"--bogus", "lexiflow up --help"}},
		"a flag without value":    {[]string{"up", "--listen"}, nil, []string{"--listen"}},
		"another command's flag":  {[]string{"nats", "--access", "open"}, nil, []string{"--access"}},
		"an argument too many":    {[]string{"up", "now"}, nil, []string{"1 arguments", "lexiflow up"}},
		"an address":              {[]string{"up", "--listen", "here"}, nil, []string{"--listen", `"here"`, "host:port"}},
		"a port":                  {[]string{"up", "--nats-listen", ":99999"}, nil, []string{"--nats-listen", "65535"}},
		"a duration":              {[]string{"edge", "--ping-interval", "25"}, secret, []string{"--ping-interval", `"25"`, "100ms", "1h"}},
		"a short duration":        {[]string{"edge", "--ping-timeout", "1ms"}, secret, []string{"--ping-timeout", "100ms"}},
		"a number":                {[]string{"edge", "--rate-limit", "many"}, secret, []string{"--rate-limit", `"many"`, "whole number"}},
		"zero":                    {[]string{"edge", "--max-connections", "0"}, secret, []string{"--max-connections", `"0"`, "from 1"}},
		"a negative number":       {[]string{"edge", "--max-rooms-per-user=-1"}, secret, []string{"--max-rooms-per-user"}},
		"a size":                  {[]string{"edge", "--max-payload", "big"}, secret, []string{"--max-payload", "1MiB"}},
		"a large size":            {[]string{"edge", "--max-payload", "1GiB"}, secret, []string{"--max-payload", "60MiB"}},
		"access":                  {[]string{"edge", "--access", "all"}, secret, []string{"--access", `"all"`, "member", "open"}},
		"on expiry":               {[]string{"edge", "--on-expiry", "warn"}, secret, []string{"--on-expiry", `"warn"`, "keep", "disconnect"}},
		"an engine":               {[]string{"edge", "--engine", "steam"}, secret, []string{"--engine", "goroutines"}},
		"a log level":             {[]string{"up", "--log-level", "loud"}, nil, []string{"--log-level", "debug"}},
		"a log format":            {[]string{"up", "--log-format", "xml"}, nil, []string{"--log-format", "json"}},
		"an origin":               {[]string{"edge", "--origins", "https://a.example/x"}, secret, []string{"--origins", "scheme://host"}},
		"a URL":                   {[]string{"edge", "--nats", "http://x"}, secret, []string{"--nats", "nats://"}},
		"a missing file":          {[]string{"edge", "--nats-creds", "/nowhere"}, secret, []string{"--nats-creds", "/nowhere", "readable"}},
		"half of a key pair":      {[]string{"edge", "--nats-tls-cert", "main.go"}, secret, []string{"--nats-tls-key"}},
		"two ways to log in":      {[]string{"edge", "--nats-creds", "main.go", "--nats-nkey", "main.go"}, secret, []string{"--nats-creds", "--nats-nkey"}},
		"no key":                  {[]string{"edge"}, nil, []string{"--jwt-secret", "JWT_SECRET", "--jwt-key-file", "--jwks-url"}},
		"two keys":                {[]string{"edge", "--jwks-url", "https://x"}, secret, []string{"JWT_SECRET", "--jwks-url"}},
		"a key file without keys": {[]string{"edge", "--jwt-key-file", "main.go"}, nil, []string{"--jwt-key-file", "PEM"}},
		"a switch":                {[]string{"edge", "--no-query-token=maybe"}, secret, []string{"--no-query-token", "true or false"}},
		"milliseconds":            {[]string{"edge"}, map[string]string{"REALTIME_PING_INTERVAL_MS": "25s"}, []string{"REALTIME_PING_INTERVAL_MS", `"25s"`, "milliseconds"}},
		"few milliseconds":        {[]string{"edge"}, map[string]string{"REALTIME_PING_TIMEOUT_MS": "5"}, []string{"REALTIME_PING_TIMEOUT_MS", `"5"`, "100ms"}},
		"PORT":                    {[]string{"up"}, map[string]string{"PORT": "http"}, []string{"PORT", `"http"`, "65535"}},
		"a limit by variable":     {[]string{"edge"}, map[string]string{"WS_MAX_ROOMS_PER_USER": "NaN"}, []string{"WS_MAX_ROOMS_PER_USER", `"NaN"`}},
		"a kind":                  {[]string{"publish", "matter", "1", "a:b"}, nil, []string{`"matter"`, "case"}},
		"an event":                {[]string{"publish", "case", "1", "a.b"}, nil, []string{"a.b"}},
		"an empty id":             {[]string{"publish", "case", "", "a:b"}, nil, []string{"id"}},
		"too few words":           {[]string{"publish", "case", "1"}, nil, []string{"KIND ID EVENT"}},
		"a class":                 {[]string{"publish", "--class", "log", "case", "1", "a"}, nil, []string{"--class", "lex"}},
		"a wrong payload":         {[]string{"publish", "case", "1", "case:deleted", `{"caseId":1}`}, nil, []string{"/caseId", "string"}},
		"an undeclared event":     {[]string{"schema", "document:printed"}, nil, []string{`"document:printed"`, "document:shared"}},
		"a part that is not":      {[]string{"schema", "case:created", "--part", "ack"}, nil, []string{"--part ack", "case:created"}},
		"a part of nothing":       {[]string{"schema", "--part", "ack"}, nil, []string{"--part", "EVENT"}},
		"an unknown part":         {[]string{"schema", "case:created", "--part", "head"}, nil, []string{"--part", "request"}},
		"one of everything":       {[]string{"schema", "case:created", "--asyncapi"}, nil, []string{"--asyncapi", "EVENT"}},
		"a name":                  {[]string{"edge", "--name", "a.b"}, secret, []string{"--name", `"a.b"`, "letters"}},
		"a namespace":             {[]string{"listen", "--namespace", "events"}, nil, []string{"--namespace", "/events"}},
		"no secret to sign with":  {[]string{"token", "--data-dir", "/nowhere"}, nil, []string{"--jwt-secret", "/nowhere"}},
		"a token type":            {[]string{"token", "--type", "admin"}, secret, []string{"--type", "access"}},
		"no user":                 {[]string{"token", "--user", ""}, secret, []string{"--user"}},
		"settings of version":     {[]string{"config", "version"}, nil, []string{`"version"`}},
	} {
		t.Run(name, func(t *testing.T) {
			o := lexiflow(t.Context(), c.env, "", c.args...)
			if o.code != exitUsage {
				t.Errorf("exit code %d, want %d", o.code, exitUsage)
			}
			if o.out != "" {
				t.Errorf("stdout has %q", o.out)
			}
			for _, want := range c.says {
				if !strings.Contains(o.remark, want) {
					t.Errorf("stderr %q does not say %q", o.remark, want)
				}
			}
		})
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	const short = "hunter2"
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
	}{
		"flag":     {[]string{"edge", "--jwt-secret", short}, nil},
		"variable": {[]string{"edge"}, map[string]string{"JWT_SECRET": short}},
		"URL":      {[]string{"edge", "--nats", "http://u:" + short + "@n1"}, nil},
		"no URL":   {[]string{"edge"}, map[string]string{"LEXIFLOW_NATS": "u:" + short + "@n1"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := lexiflow(t.Context(), c.env, "", c.args...)
			if o.code != exitUsage || strings.Contains(o.remark, short) {
				t.Errorf("exit code %d, stderr %q", o.code, o.remark)
			}
		})
	}
}

func TestHelpNamesFlagsAndVariables(t *testing.T) {
	o := lexiflow(t.Context(), nil, "", "edge", "--help")
	if o.code != exitOK {
		t.Fatalf("exit code %d: %s", o.code, o.remark)
	}
	for _, want := range []string{"--listen address", "(default :3000)", "$REALTIME_CORS_ORIGIN", "$LEXIFLOW_OPS_LISTEN", "$PORT"} {
		if !strings.Contains(o.out, want) {
			t.Errorf("help does not say %q", want)
		}
	}
}

func TestCompletionAndVersion(t *testing.T) {
	if o := lexiflow(t.Context(), nil, "", "completion", "bash"); o.code != exitOK || !strings.Contains(o.out, "lexiflow") {
		t.Errorf("completion: %+v", o)
	}
	if o := lexiflow(t.Context(), nil, "", "version"); o.code != exitOK || !strings.HasPrefix(o.out, "lexiflow ") {
		t.Errorf("version: %+v", o)
	}
}

func TestTryIt(t *testing.T) {
	for program, want := range map[string]string{
		"lexiflow":                                "lexiflow",
		"./bin/lexiflow":                          "./bin/lexiflow",
		"/tmp/go-build123/b001/exe/lexiflow":      "go run ./cmd/lexiflow",
		"/root/.cache/go-build/ab/abc-d/lexiflow": "go run ./cmd/lexiflow",
		"/opt/law firm/lexiflow":                  "'/opt/law firm/lexiflow'",
		"/opt/o'brien/lexiflow":                   `'/opt/o'\''brien/lexiflow'`,
	} {
		if got := (&app{program: program}).tryIt(); got != want {
			t.Errorf("%s: %s, want %s", program, got, want)
		}
	}
	if words := []string{shellWord(""), shellWord("case:*")}; !slices.Equal(words, []string{"''", "'case:*'"}) {
		t.Errorf("quoted %q", words)
	}
}
