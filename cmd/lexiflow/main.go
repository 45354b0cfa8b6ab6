package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes. Scripts rely on them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the program but for the process: args[0] is its name. The first SIGINT or SIGTERM ends the
// context, so that what runs can stop in order; the second kills as usual.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{program: args[0], in: stdin, out: stdout, err: stderr, env: os.LookupEnv}
	return a.execute(ctx, args[1:])
}

// app is the world as commands see it. It does not change after it was made.
type app struct {
	program string // as it was called
	in      io.Reader
	out     io.Writer // results
	err     io.Writer // logs and remarks
	env     func(string) (string, bool)
}

// execute runs one command line and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	began := false // what fails before a command runs is wrong usage
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	root.SetArgs(append([]string{}, args...)) // for nil it takes the process's own
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintf(a.err, "lexiflow: %v\n", err) // nobody left to tell
	if _, usage := errors.AsType[*usageError](err); began && !usage {
		return exitFailed
	}
	_, _ = fmt.Fprintf(a.err, "See %s --help.\n", cmd.CommandPath())
	return exitUsage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "lexiflow",
		Short: "Realtime events for LexiFlow: from NATS to every browser that may know",
		Long: `LexiFlow Realtime carries what happens to a case from microservices to browsers.

Services publish to NATS; an edge turns subjects into Socket.IO events. Start with
"lexiflow up", open the page it prints, and publish an event.`,
		Args:                       a.noCommand,
		RunE:                       func(*cobra.Command, []string) error { return nil },
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.AddCommand(
		a.upCommand(), a.natsCommand(), a.edgeCommand(),
		a.publishCommand(), a.schemaCommand(), a.notifyCommand(), a.listenCommand(),
		a.tokenCommand(), a.accessCommand(), a.revokeCommand(),
		a.configCommand(), a.versionCommand(),
	)
	for _, kind := range serviceKinds {
		root.AddCommand(a.serviceCommand(kind))
	}
	return root
}

// noCommand explains a command line whose first word is no command.
func (a *app) noCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		root.SetOut(a.err)
		_ = root.Help() // the error below says the rest
		return usagef("no command given")
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("unknown command %q, did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return usagef("unknown command %q", args[0])
}

// words checks how many arguments a command gets, and shows its form when that is wrong.
func words(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return usagef("%d arguments given, the form is: %s", len(args), cmd.UseLine())
		}
		return nil
	}
}

// usageError is wrong usage that shows only after flags were parsed.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// tryIt is how the user would call this program again. "go run" builds into a directory that is gone
// afterwards, so its own name would not work.
func (a *app) tryIt() string {
	if strings.Contains(filepath.ToSlash(a.program), "/go-build") {
		return "go run ./cmd/lexiflow"
	}
	return shellWord(a.program)
}

// shellWord quotes s for a POSIX shell if it needs it.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
