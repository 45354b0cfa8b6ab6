package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of CPU times in /proc: 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// readUsage reads what a process has used so far.
func readUsage(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	u := usage{known: true}
	if u.cpu, err = parseStat(stat); err == nil {
		u.rss, u.peak, err = parseStatus(status)
	}
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return u, nil
}

// parseStat adds utime and stime, fields 14 and 15. The second field, the name, may hold spaces and
// brackets, so counting begins behind its last bracket.
func parseStat(b []byte) (time.Duration, error) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields", len(fields))
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
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
