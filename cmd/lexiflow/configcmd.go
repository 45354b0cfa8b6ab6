package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// configCommand prints settings. Alone it prints all of them as the environment leaves them; with a
// command's name it takes that command's flags too and prints what the command would use.
func (a *app) configCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config [COMMAND]",
		Short: "Print every setting: flag, variable, value and where it comes from",
		Long: `Print every setting: flag, variable, value and where the value comes from.

"lexiflow config edge --rate-limit 200" prints what edge would use with these flags.
Flags outrank variables, variables outrank defaults. Secrets are hidden.`,
		Args: a.noSettings,
		RunE: func(*cobra.Command, []string) error {
			c := &config{env: a.env}
			var entries []entry
			for _, s := range c.table(a.env) {
				s.reset()
				if err := s.fromEnvironment(a.env); err != nil {
					return &usageError{err}
				}
				entries = append(entries, s.entry())
			}
			return printEntries(a.out, entries, asJSON)
		},
	}
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	for i, name := range commandNames {
		if !strings.Contains(name, " ") {
			cmd.AddCommand(a.configOf(name, 1<<i, &asJSON))
		}
	}
	return cmd
}

// noSettings explains a word behind config that is no command with settings.
func (a *app) noSettings(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q has no settings of its own", args[0])
	}
	return nil
}

func (a *app) configOf(name string, in commands, asJSON *bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name,
		Short: "Print the settings of " + name,
		Args:  words(0, 0),
	}
	c := a.configure(cmd, in)
	cmd.RunE = func(*cobra.Command, []string) error {
		var entries []entry
		for i := range c.settings {
			entries = append(entries, c.settings[i].entry())
		}
		return printEntries(a.out, entries, *asJSON)
	}
	return cmd
}

// entry is a setting as config prints it.
type entry struct {
	Flag      string   `json:"flag"`
	Variables []string `json:"variables"`
	Value     string   `json:"value"`
	Origin    string   `json:"origin"` // "flag", "default" or the variable's name
	Default   string   `json:"default"`
	Secret    bool     `json:"secret"`
	Commands  []string `json:"commands"`
	Help      string   `json:"help"`
}

func (s *setting) entry() entry {
	e := entry{
		Flag: "--" + s.flag, Value: s.shown(), Origin: s.origin, Default: s.standard,
		Secret: s.secret, Commands: s.in.names(), Help: strings.ReplaceAll(s.help, "`", ""),
	}
	for _, v := range s.variables() {
		e.Variables = append(e.Variables, v.name)
	}
	return e
}

func printEntries(w io.Writer, entries []entry, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(entries)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) // Flush reports what went wrong
	}
	row("FLAG", "VALUE", "FROM", "VARIABLE", "COMMANDS")
	for _, e := range entries {
		value := e.Value
		if value == "" {
			value = "-"
		}
		row(e.Flag, value, e.Origin, strings.Join(e.Variables, " "), strings.Join(e.Commands, ", "))
	}
	return t.Flush()
}
