package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A source is what reflection cannot tell about the package subjects: comments, the
// order in which things stand, and the names of its variables and constants.
type source struct {
	docs      map[string]string            // type → comment
	fields    map[string]map[string]string // type → Go field → comment
	order     map[string]int               // type → where it stands
	constants map[string][]constant        // string type → its constants, in order
	variables map[variableKey]variable     // declared name → the variable that holds it
	names     map[string]string            // variable or constant → declared name or value, for links in comments
}

// A constant is a member of a string type.
type constant struct{ value, doc string }

// A variableKey tells the two declarations apart that may share a name.
type variableKey struct {
	name    string
	command bool
}

// A variable holds a declaration: CaseCreated = event[CaseCreatedEvent]("case:created", …).
type variable struct {
	name, doc string
	group     string // the comment of the block it stands in
	order     int
}

// readSource parses the package in dir, without its tests.
func readSource(dir string) (*source, error) {
	s := &source{
		docs: map[string]string{}, fields: map[string]map[string]string{}, order: map[string]int{},
		constants: map[string][]constant{}, variables: map[variableKey]variable{}, names: map[string]string{},
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		if err := s.readFile(parsed); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if len(s.docs) == 0 {
		return nil, fmt.Errorf("no Go types in %q: is it the folder of subjects?", dir)
	}
	return s, nil
}

func (s *source) readFile(file *ast.File) error {
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range block.Specs {
			var err error
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				s.readType(block, spec)
			case *ast.ValueSpec:
				if block.Tok == token.VAR {
					err = s.readVariable(block, spec)
				} else {
					s.readConstant(spec)
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *source) readType(block *ast.GenDecl, spec *ast.TypeSpec) {
	name := spec.Name.Name
	s.order[name] = len(s.order)
	s.docs[name] = commentOf(spec.Doc, block.Doc)
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	s.fields[name] = map[string]string{}
	for _, field := range structure.Fields.List {
		for _, fieldName := range field.Names {
			s.fields[name][fieldName.Name] = commentOf(field.Doc, field.Comment)
		}
	}
}

// readVariable notes a variable that holds a declaration, and passes over others.
func (s *source) readVariable(block *ast.GenDecl, spec *ast.ValueSpec) error {
	if len(spec.Values) != 1 {
		return nil
	}
	call, ok := spec.Values[0].(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return nil
	}
	by := functionOf(call.Fun)
	if !slices.Contains([]string{"event", "socketEvent", "command", "edgeCommand"}, by) {
		return nil
	}
	name, err := stringOf(call.Args[0])
	if err != nil {
		return fmt.Errorf("the declaration %s: %w", spec.Names[0].Name, err)
	}
	key := variableKey{name: name, command: strings.HasSuffix(strings.ToLower(by), "command")}
	s.variables[key] = variable{
		name: spec.Names[0].Name, doc: commentOf(spec.Doc, spec.Comment), group: commentOf(block.Doc), order: len(s.variables),
	}
	s.names[spec.Names[0].Name] = name
	return nil
}

// readConstant notes a string constant: as a member of its type, if it has one of the
// package.
func (s *source) readConstant(spec *ast.ValueSpec) {
	if len(spec.Values) != 1 {
		return
	}
	value, err := stringOf(spec.Values[0])
	if err != nil {
		return // a number, or made of other constants
	}
	s.names[spec.Names[0].Name] = value
	if typ, ok := spec.Type.(*ast.Ident); ok {
		s.constants[typ.Name] = append(s.constants[typ.Name], constant{value, commentOf(spec.Doc, spec.Comment)})
	}
}

// functionOf returns the name of a generic function that is called.
func functionOf(called ast.Expr) string {
	switch called := called.(type) {
	case *ast.IndexExpr:
		return functionOf(called.X)
	case *ast.IndexListExpr:
		return functionOf(called.X)
	case *ast.Ident:
		return called.Name
	default:
		return ""
	}
}

func stringOf(e ast.Expr) (string, error) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", fmt.Errorf("its name is a %v and not written out", reflect.TypeOf(e))
	}
	return strconv.Unquote(literal.Value)
}

// commentOf returns the text of the first comment there is.
func commentOf(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if g != nil {
			return strings.TrimSpace(g.Text())
		}
	}
	return ""
}
