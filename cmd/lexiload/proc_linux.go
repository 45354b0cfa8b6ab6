package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// readUsage reads what a process has used so far.
func readUsage(pid int) (usage, error) {
	u := usage{known: true}
	var at unix.Timespec
	if err := unix.ClockGettime(cpuClock(pid), &at); err != nil {
		return usage{}, fmt.Errorf("process %d: its CPU clock: %w", pid, err)
	}
	u.cpu = time.Duration(at.Nano())
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err == nil {
		u.rss, u.peak, err = parseStatus(status)
	}
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return u, nil
}

// cpuClock is the clock of all of a process's threads, ended ones included, as clock_getcpuclockid(3) makes
// it. It counts nanoseconds, where /proc counts hundredths of a second.
func cpuClock(pid int) int32 {
	const allThreads = 2 // CPUCLOCK_SCHED
	return int32(^pid<<3 | allThreads)
}

// parseStatus returns VmRSS and VmHWM in bytes.
func parseStatus(b []byte) (rss, peak int64, err error) {
	for line := range bytes.Lines(b) {
		key, value, _ := bytes.Cut(line, []byte{':'})
		var target *int64
		switch string(key) {
		case "VmRSS":
			target = &rss
		case "VmHWM":
			target = &peak
		default:
			continue
		}
		number, _, _ := bytes.Cut(bytes.TrimSpace(value), []byte{' '})
		kib, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("status: %s: %w", key, err)
		}
		*target = kib << 10
	}
	if rss == 0 {
		return 0, 0, fmt.Errorf("status: no VmRSS: has the process ended?")
	}
	return rss, peak, nil
}

// fileLimit raises the limit of open files as far as this user may, and says when that is not enough.
func fileLimit(need int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("raising the limit of open files to %d: %w", limit.Max, err)
		}
	}
	if limit.Cur < uint64(need) {
		return fmt.Errorf("--connections needs %d open files, the limit is %d: raise it with ulimit -Hn", need, limit.Cur)
	}
	return nil
}
