package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine says where the figures are from: a line to stand below the table. What cannot be found out is
// called unknown.
func machine(c config, now time.Time) string {
	parts := []string{
		now.UTC().Format(time.DateOnly),
		fmt.Sprintf("%d × %s", runtime.NumCPU(), processor()),
		runtime.GOOS + " " + firstLine("/proc/sys/kernel/osrelease"),
		runtime.Version(),
		"nats-server " + builtWith(filepath.Join(c.bin, "lexiflow"), "github.com/nats-io/nats-server/v2"),
		"Socket.IO " + installed(filepath.Join(c.socketio, "node_modules/socket.io/package.json")) + " on Node " + nodeVersion(),
		"centrifuge " + builtWith(filepath.Join(c.bin, "centrifuge"), "github.com/centrifugal/centrifuge"),
	}
	return strings.Join(parts, " · ")
}

const unknown = "unknown"

func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(data) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && strings.TrimSpace(string(key)) == "model name" {
			return strings.TrimSpace(string(value))
		}
	}
	return runtime.GOARCH
}

func firstLine(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(data))
}

// builtWith reads a module's version out of a program.
func builtWith(program, module string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return unknown
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return unknown
}

func installed(packageJSON string) string {
	var p struct{ Version string }
	data, err := os.ReadFile(packageJSON)
	if err != nil || json.Unmarshal(data, &p) != nil || p.Version == "" {
		return unknown
	}
	return p.Version
}

func nodeVersion() string {
	out, err := exec.Command("node", "--version").Output()
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(out))
}
