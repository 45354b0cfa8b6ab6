package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/schema"
)

func (a *app) schemaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema [EVENT]",
		Short: "Print what an event or command looks like",
		Long: `Print the JSON Schema (2020-12) of an event, or those of a command's request and ack, one document
after another. Without a name, all declared names are listed with their class, kind of room and
namespaces. No server is needed.

  lexiflow schema
  lexiflow schema document:uploaded
  lexiflow schema message:send --part ack
  lexiflow schema --asyncapi > asyncapi.json

--asyncapi prints the AsyncAPI 3.0 document of everything on the bus. An event that is not declared needs
no schema: any JSON object may be published under any name.`,
		Args: words(0, 1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return declaredNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	c := a.configure(cmd, inSchema)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case c.asyncAPI && (len(args) > 0 || c.part != allParts):
			return usagef("--asyncapi is about everything: it goes with no EVENT and no --part")
		case c.asyncAPI:
			_, err := a.out.Write(schema.AsyncAPI())
			return err
		case len(args) == 0 && c.part != allParts:
			return usagef("--part needs an EVENT")
		case len(args) == 0:
			return listNames(a.out)
		default:
			return a.printSchemas(args[0], c.part)
		}
	}
	return cmd
}

// allParts is the default of --part.
const allParts = "all"

func (a *app) printSchemas(name, part string) error {
	schemas, err := schema.Of(name)
	if err != nil {
		return err
	}
	if len(schemas) == 0 {
		return usagef("%q is not declared: %s", name, nearName(name))
	}
	found := false
	for _, s := range schemas {
		if part != allParts && part != string(s.Part) {
			continue
		}
		found = true
		if _, err := fmt.Fprintf(a.out, "%s\n", s.JSON); err != nil {
			return err
		}
	}
	if !found {
		return usagef("--part %s: %s has none", part, name)
	}
	return nil
}

// nearName says what might have been meant: names that begin with the same word.
func nearName(name string) string {
	first, _, _ := strings.Cut(name, ":")
	near := slices.DeleteFunc(declaredNames(), func(other string) bool {
		return other != first && !strings.HasPrefix(other, first+":")
	})
	if len(near) == 0 {
		return "\"lexiflow schema\" lists what is"
	}
	return strings.Join(near, ", ") + " are"
}

func declaredNames() (names []string) {
	for _, d := range subjects.Declarations() {
		names = append(names, d.Name)
	}
	return slices.Compact(names)
}

// listNames prints a line per declaration.
func listNames(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tWHAT\tCLASS\tKIND\tNAMESPACES") // Flush has the error
	for _, d := range subjects.Declarations() {
		what := string(d.Role)
		if d.AtEdge {
			what = "command of the edge"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Name, what,
			cmp.Or(d.Class.String(), "-"), cmp.Or(string(d.Kind), "-"), strings.Join(d.Namespaces, " "))
	}
	return w.Flush()
}

// validate checks a payload before it is published. What is wrong is an error; what is missing is
// only said, because the edge adds some of it and readers live without the rest.
func (a *app) validate(event subjects.Subject, payload string) error {
	report, err := schema.Check(event, []byte(payload))
	if err != nil {
		return blame(err)
	}
	if len(report.Wrong) > 0 {
		return usagef("the payload does not fit %s (--no-validate publishes it all the same):\n  %s",
			event.Event, strings.Join(lines(report.Wrong), "\n  "))
	}
	if len(report.Missing) > 0 {
		_, err = fmt.Fprintf(a.err, "%s usually also has: %s\n", event.Event, strings.Join(pointers(report.Missing), " "))
	}
	return err
}

func lines(findings []schema.Finding) (all []string) {
	for _, f := range findings {
		all = append(all, f.String())
	}
	return all
}

func pointers(findings []schema.Finding) (all []string) {
	for _, f := range findings {
		all = append(all, f.Pointer)
	}
	return all
}
