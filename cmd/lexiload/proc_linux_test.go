package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " S 1 7 7 0 -1 4194560 2041 0 9 0 123 45 0 0 20 0 12 0 8912 1259 4096 184467 1 1 0 0"
	tests := map[string]struct {
		in   string
		want time.Duration
		ok   bool
	}{
		"plain":            {"7 (lexiflow)" + tail, 1680 * time.Millisecond, true},
		"spaces, brackets": {"7 (a b) S (c)" + tail, 1680 * time.Millisecond, true},
		"cut off":          {"7 (lexiflow) S 1 7", 0, false},
		"no number":        {"7 (x) S 1 7 7 0 -1 4194560 2041 0 9 0 x 45 0", 0, false},
		"nothing":          {"", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.in))
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %v, %v", got, err)
			}
		})
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
