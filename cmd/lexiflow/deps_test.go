package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lexiflow/realtime/"

// arrows are all imports that packages may make of each other. A folder that is not here may import
// nothing of ours, but for the one that holds it: a test binary of its own, a generator. cmd may
// import everything but other commands.
var arrows = map[string][]string{
	"subjects":                {},
	"subjects/natsd":          {"subjects"},
	"subjects/natsd/natstest": {"subjects", "subjects/natsd"},
	"subjects/generate":       {"subjects"},
	"subjects/schema":         {"subjects"},
	"edge/sio":                {},
	"edge/engine":             {"edge/sio"},
	"edge/sioclient":          {"edge/sio"},
	"edge/conformance":        {"edge/engine", "edge/sio"},
	"edge":                    {"subjects", "edge/sio", "edge/engine"},
	"presence":                {"subjects"},
	"notifyd":                 {"subjects"},
	"msgd":                    {"subjects"},
	"dashboardd":              {"subjects"},
	"edge/client/demo":        {},
}

// inTests are what tests may import besides: a real NATS server, a cluster of them, and a client.
var inTests = []string{"subjects", "subjects/natsd", "subjects/natsd/natstest", "edge/sioclient"}

// goFile is what a source file says about itself.
type goFile struct {
	name    string
	folder  string // from the root of the module
	test    bool
	imports []string // of ours, without the module's name
	doc     bool     // has a package comment
}

// goFiles parses every file of the module. It reads them itself, so that a change to any of them makes
// the test run again: the test cache does not see what a child process such as "go list" reads.
func goFiles(t *testing.T) (files []goFile) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".git")):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(at) != ".go":
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), at, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		f := goFile{name: filepath.ToSlash(relative), test: strings.HasSuffix(at, "_test.go"), doc: parsed.Doc != nil}
		f.folder = path.Dir(f.name)
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(imported, module); ok {
				f.imports = append(f.imports, ours)
			}
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestArrows(t *testing.T) {
	files := goFiles(t)
	if len(files) < 50 {
		t.Fatalf("only %d files found", len(files))
	}
	for _, f := range files {
		for _, imported := range f.imports {
			if !mayImport(f, imported) {
				t.Errorf("%s imports %s", f.name, imported)
			}
		}
	}
}

func mayImport(f goFile, imported string) bool {
	if strings.HasPrefix(f.folder, "cmd/") {
		return !strings.HasPrefix(imported, "cmd/")
	}
	return imported == f.folder && f.test || // an external test of the package itself
		slices.Contains(arrows[f.folder], imported) ||
		f.test && slices.Contains(inTests, imported)
}

func TestMayImport(t *testing.T) {
	for name, c := range map[string]struct {
		file     goFile
		imported string
		want     bool
	}{
		"edge may subjects":             {goFile{folder: "edge"}, "subjects", true},
		"edge must not natsd":           {goFile{folder: "edge"}, "subjects/natsd", false},
		"edge must not natstest":        {goFile{folder: "edge"}, "subjects/natsd/natstest", false},
		"its tests may natsd":           {goFile{folder: "edge", test: true}, "subjects/natsd", true},
		"subjects must not edge":        {goFile{folder: "subjects"}, "edge", false},
		"sio must not subjects":         {goFile{folder: "edge/sio"}, "subjects", false},
		"engine may sio":                {goFile{folder: "edge/engine"}, "edge/sio", true},
		"engine must not edge":          {goFile{folder: "edge/engine"}, "edge", false},
		"a service must not edge":       {goFile{folder: "msgd"}, "edge", false},
		"a service must not another":    {goFile{folder: "msgd", test: true}, "presence", false},
		"conformance must not edge":     {goFile{folder: "edge/conformance"}, "edge", false},
		"an unknown folder may nothing": {goFile{folder: "util"}, "subjects", false},
		"cmd may edge":                  {goFile{folder: "cmd/lexiload"}, "edge/sioclient", true},
		"cmd must not cmd":              {goFile{folder: "cmd/lexiload"}, "cmd/lexiflow", false},
	} {
		if got := mayImport(c.file, c.imported); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPackageComments(t *testing.T) {
	has := make(map[string]bool)
	for _, f := range goFiles(t) {
		if !f.test {
			has[f.folder] = has[f.folder] || f.doc
		}
	}
	for folder, doc := range has {
		if !doc {
			t.Errorf("package %s has no comment that says what it promises", folder)
		}
	}
}
