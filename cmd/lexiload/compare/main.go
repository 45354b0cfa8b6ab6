// Command compare measures the edge and its peers side by side and prints one table: each scenario with
// every server in turn, then the next round, so that what else the machine does meets all alike. The figures
// are medians over the rounds, with ratios.
//
//	compare --bin bin                    the whole table, about a quarter of an hour
//	compare --bin bin --quick            one short round: that everything works, not what it costs
//	compare --bin bin --only cycle --servers edge,floor
//
// It starts and ends every process itself: NATS, and for each run a fresh server, so that memory is measured
// over an empty process. All of it is on loopback addresses and bounded in count and time. A run in which
// anything was lost, repeated or refused gives no figure; the table says void, and the exit code is 1.
//
// Not promised: latency on a machine that does other things meanwhile says more about those.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "compare:", err)
			os.Exit(1)
		}
	}
}

// config is the command line.
type config struct {
	bin      string // the folder of lexiflow, lexiload and the peers in Go
	socketio string // the folder of the peer in Node
	quick    bool
	rounds   int
	only     []string
	servers  []string
	results  string
	record   string
}

func parseFlags(args []string, stderr io.Writer) (c config, err error) {
	var only, servers string
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.bin, "bin", "bin", "folder with lexiflow, lexiload, floor and centrifuge")
	f.StringVar(&c.socketio, "socketio", "cmd/lexiload/peers/socketio", "folder with the Socket.IO server and its node_modules")
	f.BoolVar(&c.quick, "quick", false, "a tenth of the connections, one round")
	f.IntVar(&c.rounds, "rounds", 3, "runs of each scenario; 0 only prints what --results has")
	f.StringVar(&only, "only", "", "scenarios, with commas; default all")
	f.StringVar(&servers, "servers", "", "servers, with commas; default all")
	f.StringVar(&c.results, "results", "", "file that keeps every figure: calls add up to one table")
	f.StringVar(&c.record, "record", "", "file in which to replace the table between its two marks")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if c.rounds < 0 || c.rounds > 20 {
		return c, fmt.Errorf("--rounds %d: want 0 to 20", c.rounds)
	}
	if c.quick {
		c.rounds = min(c.rounds, 1)
	}
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	if c.only, err = choose("only", only, names); err != nil {
		return c, err
	}
	c.servers, err = choose("servers", servers, serverNames())
	return c, err
}

// choose reads a list of names, of which there are those.
func choose(flagName, list string, names []string) ([]string, error) {
	if list == "" {
		return names, nil
	}
	chosen := strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("--%s %q: want some of %s", flagName, name, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}

// limit ends a run of this program that hangs.
const limit = 45 * time.Minute

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	r, err := loadResults(c.results)
	if err != nil {
		return err
	}
	if c.rounds > 0 {
		if err := measure(ctx, c, r, stderr); err != nil {
			return err
		}
	}
	if err := r.save(c.results); err != nil {
		return err
	}
	table := r.table() + "\n" + machine(c, time.Now()) + "\n"
	if _, err := io.WriteString(stdout, table); err != nil {
		return err
	}
	if c.record != "" {
		if err := record(c.record, table); err != nil {
			return err
		}
	}
	if r.void > 0 {
		return fmt.Errorf("%d runs are void", r.void)
	}
	return nil
}

// measure runs all rounds.
func measure(ctx context.Context, c config, r *results, stderr io.Writer) error {
	b, err := newBench(ctx, c, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	for round := range c.rounds {
		for _, s := range scenarios {
			if !slices.Contains(c.only, s.name) || round > 0 && s.once {
				continue
			}
			for _, server := range servers {
				if !slices.Contains(c.servers, server.name) || s.ours && server.name != ours {
					continue
				}
				began := time.Now()
				report, err := b.run(ctx, server, s)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err != nil {
					r.void++
					_, _ = fmt.Fprintf(stderr, "round %d, %s, %s: void: %v\n", round+1, s.name, server.name, err)
					continue
				}
				line := r.add(s, server.name, report)
				_, _ = fmt.Fprintf(stderr, "round %d, %s, %s: %s (%.0f s)\n", round+1, s.name, server.name, line, time.Since(began).Seconds())
			}
		}
		if err := r.save(c.results); err != nil {
			return err
		}
	}
	return nil
}
