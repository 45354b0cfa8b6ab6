// Command generate writes what other languages need of the package subjects: the
// TypeScript of the npm package, and the AsyncAPI document with the JSON Schemas of
// everything on the bus. "go generate ./..." and "make generate" run it.
//
// It takes names and types from the compiled declarations and comments from the
// source, so that neither is written down twice. Its output depends on nothing else:
// no time, no path, no order of a map. A test compares it with the files in the
// repository, so that a declaration cannot be changed without them.
//
// It does not promise to understand any Go type: one that it cannot put into JSON
// Schema or TypeScript is an error that names the field.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/lexiflow/realtime/subjects"
)

// refusalType is what a refused command is acked with. No declaration names it,
// because every command has it.
var refusalType = reflect.TypeFor[subjects.Refusal]()

func main() {
	root := flag.String("root", ".", "the repository's top folder")
	flag.Parse()
	if err := write(*root); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	all, err := outputs(root)
	if err != nil {
		return err
	}
	for name, text := range all {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const (
	tsFolder     = "edge/client/src/generated/"    // where the npm package expects its generated part
	asyncAPIFile = "subjects/schema/asyncapi.json" // where the package schema embeds it
)

// outputs returns the generated files: name from the repository's top folder → text.
func outputs(root string) (map[string]string, error) {
	s, err := readSource(filepath.Join(root, "subjects"))
	if err != nil {
		return nil, err
	}
	m, err := newModel(s, subjects.Declarations(), furtherTypes()...)
	if err != nil {
		return nil, err
	}
	ts, err := typescript(m)
	if err != nil {
		return nil, err
	}
	doc, err := asyncAPIDocument(m)
	if err != nil {
		return nil, err
	}
	all := map[string]string{asyncAPIFile: doc}
	for name, text := range ts {
		all[tsFolder+name] = text
	}
	return all, nil
}
