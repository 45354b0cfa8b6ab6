package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"one":         {[]float64{3}, 3},
		"two":         {[]float64{4, 2}, 3},
		"three":       {[]float64{9, 1, 2}, 2},
		"an outlier":  {[]float64{1, 2, 3, 4, 1000}, 3},
		"all the way": {[]float64{5, 4, 3, 2}, 3.5},
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("%s: the runs are in another order now", name)
		}
	}
}

func scenarioNamed(t *testing.T, name string) scenario {
	t.Helper()
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		t.Fatalf("no scenario %s", name)
	}
	return scenarios[i]
}

func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	add := func(scenario, server string, of report) {
		r, err := loadResults(file)
		if err != nil {
			t.Fatal(err)
		}
		r.add(scenarioNamed(t, scenario), server, &of)
		if err := r.save(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, cpu := range []float64{1.5, 1.25, 99} {
		var of report
		of.Events.Server.CPU = cpu
		add("room", ours, of)
		of.Events.Server.CPU = 2 * cpu
		add("room", "socketio", of)
	}
	var of report
	of.Connections.Server.CPU, of.Connections.Server.RSS = 100, 2900
	add("connect", ours, of)
	r, err := loadResults(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = `|  | edge | floor | Socket.IO | Centrifuge | reach |
| --- | ---: | ---: | ---: | ---: | --- |
| memory per idle, subscribed connection (RSS), KB | **2.9** | – | – | – | ≤ 3: yes |
| connect + verify + subscribe, µs | **100** | – | – | – | ≤ 120: yes |
| delivery, room of 1,000, 16 events in flight, µs | **1.5** | – | 3 (× 2) | – | ≤ 1: **missed**, × 1.50 |
`
	if got := r.table(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "B.md")
	if err := os.WriteFile(file, []byte("before\n"+tableBegins+"old\n"+tableEnds+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"| one |\n", "| two |\n"} {
		if err := record(file, table); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if want := "before\n" + tableBegins + "\n" + table + "\n" + tableEnds + "\nafter\n"; err != nil || string(got) != want {
			t.Errorf("got %s, %v", got, err)
		}
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := record(file, "x"); err == nil {
		t.Error("a file without marks is written")
	}
}

func TestArguments(t *testing.T) {
	for name, c := range map[string]struct {
		scenario string
		quick    bool
		files    int
		want     []string
	}{
		"burst":        {"room", false, 20_000, []string{"--connections 1000", "--rooms 1 ", "--burst", "--inflight 16", "--events 2000", "--duration 5s"}},
		"quick":        {"rooms", true, 20_000, []string{"--connections 1000", "--rooms 100", "--events 2500", "--duration 2s"}},
		"cycle":        {"cycle", false, 20_000, []string{"--cycle", "--settle 2s"}},
		"idle":         {"idle", false, 20_000, []string{"--idle 25s"}},
		"few files":    {"many", false, 5_000, []string{"--connections 4800", "--rate 500"}},
		"time to kill": {"resume", true, 20_000, []string{"--connections 1000", "--duration 16s"}},
	} {
		got := strings.Join(scenarioNamed(t, c.scenario).load.arguments(c.quick, c.files), " ") + " "
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", name, want, got)
			}
		}
	}
}

func TestMachine(t *testing.T) {
	got := machine(config{bin: t.TempDir(), socketio: t.TempDir()}, time.Unix(0, 0))
	if !strings.HasPrefix(got, "1970-01-01 · ") || !strings.Contains(got, runtime.Version()) || !strings.Contains(got, "centrifuge unknown") {
		t.Errorf("got %s", got)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if v := builtWith(program, "golang.org/x/sys"); v == unknown {
		t.Error("the version of a module in this program is not found")
	}
}

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no scenario":     {[]string{"--only", "room,lunch"}, `--only "lunch": want some of connect, `},
		"no server":       {[]string{"--servers", "nginx"}, `--servers "nginx": want some of edge, `},
		"too many rounds": {[]string{"--rounds", "21"}, "--rounds 21"},
		"unexpected":      {[]string{"x"}, `"x"`},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), c.args, &out, &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--rounds", "0"}, &out, &out); err != nil || !strings.Contains(out.String(), "| edge |") {
		t.Errorf("no rounds: %v, %s", err, &out)
	}
}
