package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// The clock of another process, whose threads have ended, agrees with what the system charges for it.
func TestCPUClock(t *testing.T) {
	child := exec.Command("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; read x")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	got, err := readUsage(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	_ = child.Wait() // the failed read is its exit code
	want := child.ProcessState.UserTime() + child.ProcessState.SystemTime()
	if got.cpu < 10*time.Millisecond || got.cpu > want+10*time.Millisecond || got.cpu < want/2 {
		t.Errorf("the clock says %v, the system %v", got.cpu, want)
	}
}

func TestParseStatus(t *testing.T) {
	tests := map[string]struct {
		in        string
		rss, peak int64
		ok        bool
	}{
		"both":      {"Name:\tlexiflow\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nThreads:\t3\n", 1 << 20, 2 << 20, true},
		"ended":     {"Name:\tlexiflow\nState:\tZ (zombie)\n", 0, 0, false},
		"no number": {"VmRSS:\t x kB\n", 0, 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rss, peak, err := parseStatus([]byte(tt.in))
			if rss != tt.rss || peak != tt.peak || (err == nil) != tt.ok {
				t.Errorf("got %d, %d, %v", rss, peak, err)
			}
		})
	}
}

func TestReadUsage(t *testing.T) {
	u, err := readUsage(os.Getpid())
	if err != nil || u.rss <= 0 || u.peak < u.rss || !u.known {
		t.Errorf("this process: %+v, %v", u, err)
	}
	if _, err := newWatch(1<<30, 0); err == nil {
		t.Error("a process that does not exist has usage")
	}
	if err := fileLimit(10); err != nil {
		t.Error(err)
	}
	if err := fileLimit(1 << 40); err == nil {
		t.Error("any number of files may be open")
	}
}
