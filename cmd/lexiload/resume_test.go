package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/lexiflow/realtime/edge"
	"github.com/lexiflow/realtime/subjects"
)

// edgeOfTests makes this binary an edge on the NATS that the variable names: one that can be killed.
const edgeOfTests = "LEXILOAD_TEST_EDGE_NATS"

func TestMain(m *testing.M) {
	if bus := os.Getenv(edgeOfTests); bus != "" {
		if err := serveEdge(bus); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveEdge(bus string) error {
	ctx := context.Background()
	nc, err := subjects.Connect(ctx, subjects.ConnectOptions{URL: bus})
	if err != nil {
		return err
	}
	keys, err := edge.LoadKeys(ctx, edge.KeyOptions{Secret: testSecret})
	if err != nil {
		return err
	}
	server, err := edge.New(nc, edge.Options{Keys: keys})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return server.Run(ctx, l)
}

// TestKill has every client of an edge that is killed resume at another, with nothing lost or repeated.
func TestKill(t *testing.T) {
	survivor, natsURL := startEdge(t, edge.Limits{})
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), edgeOfTests+"="+natsURL)
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = victim.Process.Kill() // lexiload has
		_ = victim.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var report, said bytes.Buffer
	args := []string{
		"--url", "http://" + strings.TrimSpace(address), "--return-url", survivor, "--kill-pid", strconv.Itoa(victim.Process.Pid),
		"--nats", natsURL, "--jwt-secret", testSecret, "--settle", "0s", "--json",
		"--connections", "40", "--rooms", "4", "--rate", "100", "--duration", "6s",
	}
	if code := run(t.Context(), args, &report, &said); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, &said, &report)
	}
	var got struct {
		Resume resumeReport
		Events eventReport
	}
	if err := json.Unmarshal(report.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Resume.Resumed != 40 || got.Resume.Lost != 40 || got.Resume.Seconds <= 0 || got.Events.Delivered != got.Events.Expected {
		t.Errorf("got %s", &report)
	}
}

func TestOffsetOf(t *testing.T) {
	for packet, want := range map[string]string{
		`2/events,["document:uploaded",{"a":1},"17"]`: "17",
		`2["connected",{},"0"]`:                       "0",
		`2/events,["x",{"a":"17"}]`:                   "",
		`2/events,["x","a17"]`:                        "",
		`3/events,0["17"]`:                            "",
		`"]`:                                          "",
		``:                                            "",
	} {
		if got, ok := offsetOf([]byte(packet)); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", packet, got, ok)
		}
	}
}
