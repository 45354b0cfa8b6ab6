package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// patience bounds every wait of these tests; nothing waits that long unless it is broken.
const patience = 60 * time.Second

// process is a running lexiflow.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string // of stdout and stderr; closed at the end
	exited chan struct{}

	mu   sync.Mutex
	said bytes.Buffer // guarded by mu
}

// start runs this test binary as lexiflow. It has no variables but those given.
func start(t *testing.T, variables []string, args ...string) *process {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startProgram(t, executable, append(variables, asProgram+"=1", "GORACE=halt_on_error=1"), args...)
}

// startProgram runs any build of lexiflow.
func startProgram(t *testing.T, executable string, variables []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, lines: make(chan string, 4096), exited: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), executable, args...)
	p.cmd.Env = append(variables, "HOME="+t.TempDir())
	reader, writer := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(reader)
	go func() {
		_ = p.cmd.Wait() // the exit code is read from the state
		_ = writer.Close()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
		if t.Failed() {
			t.Logf("%s said:\n%s", args[0], p.output())
		}
	})
	return p
}

func (p *process) read(r io.Reader) {
	defer close(p.lines)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.mu.Lock()
		p.said.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		p.lines <- lines.Text()
	}
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// says waits for a line and returns the first group of the pattern.
func (p *process) says(pattern string) string {
	p.t.Helper()
	wanted := regexp.MustCompile(pattern)
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				<-p.exited
				p.t.Fatalf("it ended (%v) without saying %s:\n%s", p.cmd.ProcessState, pattern, p.output())
			}
			if m := wanted.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
		case <-late:
			p.t.Fatalf("it does not say %s:\n%s", pattern, p.output())
		}
	}
}

// ends waits for the end and checks the exit code.
func (p *process) ends(code int) {
	p.t.Helper()
	for late := time.After(patience); ; {
		select {
		case _, ok := <-p.lines:
			if !ok {
				p.lines = nil
			}
			continue
		case <-p.exited:
		case <-late:
			p.t.Fatalf("it does not end:\n%s", p.output())
		}
		break
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d:\n%s", got, code, p.output())
	}
	if said := p.output(); strings.Contains(said, "panic:") || strings.Contains(said, "DATA RACE") {
		p.t.Errorf("it broke:\n%s", said)
	}
}

// stop asks it to end, as a supervisor does.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.ends(exitOK)
}

// kill gives it no chance.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
}

// Where processes say that they are.
const (
	saysOps  = `operators are served.*(127\.0\.0\.1:\d+)`
	saysURL  = `(http://127\.0\.0\.1:\d+)`
	saysNATS = `(nats://127\.0\.0\.1:\d+)`
)

func publish(t *testing.T, natsURL string, args ...string) {
	t.Helper()
	o := lexiflow(t.Context(), nil, "", append([]string{"publish", "--nats", natsURL}, args...)...)
	if o.code != exitOK {
		t.Fatalf("publish %q: %+v", args, o)
	}
}

func TestUp(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"up", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", dir, "--drain-timeout", "100ms"}
	up := start(t, nil, flags...)
	url, natsURL := up.says(saysURL), up.says(saysNATS)
	token := up.says(`^ +(eyJ\S+)$`)

	watcher := dial(t, url, token)
	watcher.subscribe(t)
	publish(t, natsURL, "case", "123", "document:uploaded", `{"documentId":"d1","fileName":"brief.pdf"}`)
	if got := watcher.gets(t, "document:uploaded"); got["documentId"] != "d1" || got["caseId"] != "123" || got["timestamp"] == nil {
		t.Errorf("document:uploaded %v", got)
	}

	page := fetch(t, url+"/")
	if page.StatusCode != http.StatusOK || page.Header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(page.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page: %d %v", page.StatusCode, page.Header)
	}
	for path, want := range map[string]int{
		"/demo.json": http.StatusOK, "/readyz": http.StatusOK, "/api/realtime/health": http.StatusOK, "/debug/pprof/": http.StatusNotFound,
	} {
		if got := fetch(t, url+path).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}

	second := start(t, nil, flags...)
	second.ends(exitFailed)
	if said := second.output(); !strings.Contains(said, "--data-dir "+dir) {
		t.Errorf("a second one on the folder says %s", said)
	}
	taken := start(t, nil, "up", "--listen", strings.TrimPrefix(url, "http://"), "--data-dir", t.TempDir())
	taken.ends(exitFailed)
	if said := taken.output(); !strings.Contains(said, "--listen") || !strings.Contains(said, "in use") {
		t.Errorf("another one on the port says %s", said)
	}

	up.stop()
	again := start(t, nil, flags...)
	dial(t, again.says(saysURL), token) // the demo token survives a restart
	again.stop()
}

func fetch(t *testing.T, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response
}

func TestSeparateProcesses(t *testing.T) {
	nats := start(t, nil, "nats", "--nats-listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	natsURL := nats.says(saysNATS)
	variables := []string{"JWT_SECRET=" + testSecret, "LEXIFLOW_NATS=" + natsURL, "LEXIFLOW_DRAIN_TIMEOUT=100ms"}
	edges := make([]*process, 2)
	clients := make([]*client, 2)
	for i := range edges {
		edges[i] = start(t, variables, "edge", "--listen", "127.0.0.1:0")
	}
	for i, edge := range edges {
		clients[i] = dial(t, edge.says(saysURL), tokenFor(t, "u1"))
		clients[i].subscribe(t)
	}
	publish(t, natsURL, "case", "123", "invoice:sent", `{"invoiceId":"i1"}`)
	for i, c := range clients {
		if got := c.gets(t, "invoice:sent"); got["invoiceId"] != "i1" || got["caseId"] != "123" {
			t.Errorf("client %d gets %v", i, got)
		}
	}
	publish(t, natsURL, "--class", "live", "case", "123", "cursor:moved", `{"line":7}`) // it may overtake the log
	for i, c := range clients {
		if got := c.gets(t, "cursor:moved"); got["line"] != 7.0 {
			t.Errorf("client %d gets %v", i, got)
		}
	}
	edges[0].stop()
	publish(t, natsURL, "case", "123", "still:there")
	clients[1].gets(t, "still:there")
	edges[1].stop()
	nats.stop()
}

// An edge that starts before NATS is alive and not ready, says what it waits for, and serves as soon
// as NATS is there.
func TestEdgeWaitsForNATS(t *testing.T) {
	natsAddress := natstest.FreeAddress(t)
	edge := start(t, []string{"JWT_SECRET=" + testSecret},
		"edge", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--nats", "nats://"+natsAddress, "--drain-timeout", "100ms")
	ops := "http://" + edge.says(saysOps)
	edge.says(`(waiting for it)`)
	for path, want := range map[string]int{
		"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusOK, "/debug/pprof/": http.StatusOK, "/x": http.StatusNotFound,
	} {
		if got := fetch(t, ops+path).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	nats := start(t, nil, "nats", "--nats-listen", natsAddress, "--data-dir", t.TempDir())
	url := edge.says(saysURL)
	dial(t, url, tokenFor(t, "u1"))
	if got := fetch(t, ops+"/readyz").StatusCode; got != http.StatusOK {
		t.Errorf("ready: %d", got)
	}
	if got := fetch(t, url+"/metrics").StatusCode; got != http.StatusNotFound {
		t.Errorf("/metrics on the public listener: %d", got)
	}
	edge.stop()
	nats.stop()
}

func TestStopWhileWaitingForNATS(t *testing.T) {
	edge := start(t, []string{"JWT_SECRET=" + testSecret}, "edge", "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1")
	edge.says(`(waiting for it)`)
	edge.stop()
}

func TestListenAndPublish(t *testing.T) {
	dir := t.TempDir()
	up := start(t, nil, "up", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", dir, "--drain-timeout", "100ms")
	url, natsURL := up.says(saysURL), up.says(saysNATS)

	asClient := start(t, nil, "listen", "--url", url, "--data-dir", dir, "--case", "123", "--room", "team", "--count", "2", "--for", "50s")
	onBus := start(t, nil, "listen", "--nats", natsURL, "--case", "123", "--count", "2")
	asClient.says(`(listening)`)
	onBus.says(`(listening)`)
	o := lexiflow(t.Context(), map[string]string{"LEXIFLOW_NATS": natsURL}, "{\n  \"n\": 1\n}", "publish", "case", "123", "a:b", "-")
	if o.code != exitOK || !strings.HasPrefix(o.out, "lex.case.123.a.b ") {
		t.Errorf("publish: %+v", o)
	}
	publish(t, natsURL, "case", "123", "c")
	asClient.ends(exitOK)
	onBus.ends(exitOK)
	if said := asClient.output(); !regexp.MustCompile(`(?m)^a:b \{"n":1,"timestamp":"[^"]+","caseId":"123"\}$`).MatchString(said) {
		t.Errorf("listen prints %s", said)
	}
	if said := onBus.output(); !strings.Contains(said, `lex.case.123.a.b {"n":1}`) {
		t.Errorf("listen on the bus prints %s", said)
	}

	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"fewer events":     {[]string{"--case", "9", "--count", "1", "--for", "1ms"}, exitFailed, "0 of 1"},
		"just a while":     {[]string{"--case", "9", "--for", "1ms"}, exitOK, ""},
		"a case not mine":  {[]string{"--case", "9", "--scope", "case:1"}, exitFailed, "--case 9"},
		"a refused token":  {[]string{"--token", "bogus"}, exitFailed, "AUTH_FAILED"},
		"another's secret": {[]string{"--jwt-secret", testSecret}, exitFailed, "AUTH_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			o := lexiflow(t.Context(), nil, "", append([]string{"listen", "--url", url, "--data-dir", dir}, c.args...)...)
			if o.code != c.code || !strings.Contains(o.remark, c.says) {
				t.Errorf("%+v", o)
			}
		})
	}
	// Without a case it is everything that a client hears, but not how things stand.
	all := start(t, nil, "listen", "--url", url, "--data-dir", dir, "--count", "1")
	all.says(`(listening)`)
	dial(t, url, tokenOf(t, dir, "demo"))
	all.ends(exitOK)
	if said := all.output(); !strings.Contains(said, `presence:update {"userId":"demo"`) {
		t.Errorf("listen prints %s", said)
	}
	up.stop()
}

func TestPublishRefusals(t *testing.T) {
	up := start(t, nil, "nats", "--nats-listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	natsURL := up.says(saysNATS)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no JSON":     {[]string{"case", "1", "a", "{"}, exitUsage, "not a JSON object"},
		"no object":   {[]string{"case", "1", "a", "[1]"}, exitUsage, "not a JSON object"},
		"too large":   {[]string{"case", "1", "a", `{"x":"` + strings.Repeat("x", 1<<20) + `"}`}, exitUsage, "bytes"},
		"nobody home": {[]string{"case", "1", "a", "--nats", "nats://127.0.0.1:1", "--timeout", "300ms"}, exitFailed, "--nats nats://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			o := lexiflow(t.Context(), map[string]string{"LEXIFLOW_NATS": natsURL}, "", append([]string{"publish"}, c.args...)...)
			if o.code != c.code || !strings.Contains(o.remark, c.says) {
				t.Errorf("%d %s", o.code, o.remark)
			}
		})
	}
	up.stop()
}

// A folder whose secret was made by up is not readable by others.
func TestSecretOfUpIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	up := start(t, nil, "up", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", dir)
	up.says(`(eyJ)`)
	info, err := os.Stat(filepath.Join(dir, secretFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	up.stop()
}
