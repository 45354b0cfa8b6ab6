package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// results are all figures: by line of the table, then by server, one for each run.
type results struct {
	runs map[string]map[string][]float64
	void int // runs without a figure, of this call
}

// loadResults reads the file, which need not be there.
func loadResults(file string) (*results, error) {
	r := &results{runs: map[string]map[string][]float64{}}
	if file == "" {
		return r, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r.runs)
	}
	if err != nil {
		return nil, fmt.Errorf("--results %s: %w", file, err)
	}
	return r, nil
}

func (r *results) save(file string) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(r.runs, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// add takes the figures of one run and returns them as text.
func (r *results) add(s scenario, server string, of *report) string {
	var said []string
	for _, f := range s.figures {
		if r.runs[f.label] == nil {
			r.runs[f.label] = map[string][]float64{}
		}
		value := f.of(of)
		r.runs[f.label][server] = append(r.runs[f.label][server], value)
		said = append(said, strings.TrimSpace(number(value)+" "+f.unit))
	}
	return strings.Join(said, ", ")
}

// median of some values; of an even count the mean of the middle two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// table writes medians, and how many times as much as ours each peer takes.
func (r *results) table() string {
	var b strings.Builder
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	head, rule := []string{""}, []string{"---"}
	for _, s := range servers {
		head, rule = append(head, s.title), append(rule, "---:")
	}
	row(append(head, "reach")...)
	row(append(rule, "---")...)
	for _, s := range scenarios {
		for _, f := range s.figures {
			if r.runs[f.label] == nil {
				continue
			}
			row(r.line(f)...)
		}
	}
	return b.String()
}

func (r *results) line(f figure) []string {
	cells := []string{f.label + map[bool]string{true: ", " + f.unit}[f.unit != ""]}
	own := 0.0
	for _, s := range servers {
		runs := r.runs[f.label][s.name]
		switch {
		case len(runs) == 0:
			cells = append(cells, "–")
		case s.name == ours:
			own = median(runs)
			cells = append(cells, "**"+number(own)+"**")
		case own > 0:
			cells = append(cells, fmt.Sprintf("%s (× %.2g)", number(median(runs)), median(runs)/own))
		default:
			cells = append(cells, number(median(runs)))
		}
	}
	switch {
	case f.reach == 0 || own == 0:
		return append(cells, "")
	case own <= f.reach:
		return append(cells, "≤ "+number(f.reach)+": yes")
	}
	return append(cells, fmt.Sprintf("≤ %s: **missed**, × %.2f", number(f.reach), own/f.reach))
}

// number writes three digits that matter, and whole numbers whole.
func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// Marks around the table of a recorded file.
const (
	tableBegins = "<!-- table -->\n"
	tableEnds   = "<!-- end of table -->"
)

// record replaces the table in a file.
func record(file, table string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--record: %w", err)
	}
	before, rest, began := bytes.Cut(data, []byte(tableBegins))
	_, after, ended := bytes.Cut(rest, []byte(tableEnds))
	if !began || !ended {
		return fmt.Errorf("--record %s: the marks %q and %q are not in it", file, strings.TrimSpace(tableBegins), tableEnds)
	}
	whole := slices.Concat(before, []byte(tableBegins+"\n"+table+"\n"+tableEnds), after)
	return os.WriteFile(file, whole, 0o644)
}
