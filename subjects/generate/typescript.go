package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/lexiflow/realtime/subjects"
)

const tsHeader = "// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.\n"

// renamed are types whose Go name would say too little outside their package.
var renamed = map[string]string{
	"Base":     "BaseEvent",
	"Change":   "FieldChange",
	"Code":     "ErrorCode",
	"None":     "NoRequest",
	"Priority": "NotificationPriority",
}

// constantNames are constants of the original that are not named as the Go variable.
var constantNames = map[string]string{"SocketError": "ERROR"}

// typescript returns the files of the npm package, by name.
func typescript(m *model) (map[string]string, error) {
	g := &tsGenerator{model: m, exported: map[string]bool{}, received: map[reflect.Type]bool{}}
	if err := g.choose(); err != nil {
		return nil, err
	}
	enums, err := g.enums()
	if err != nil {
		return nil, err
	}
	names, err := g.names()
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"constants.ts":  tsHeader + tsConstants,
		"enums.ts":      enums,
		"names.ts":      names,
		"payloads.ts":   g.payloads(),
		"maps.ts":       g.maps(),
		"namespaces.ts": g.namespaces(),
		"guards.ts":     tsHeader + tsGuards,
		"index.ts":      tsHeader + tsIndex,
	}, nil
}

type tsGenerator struct {
	*model
	types    []reflect.Type        // what clients see
	exported map[string]bool       // their Go names
	received map[reflect.Type]bool // what a server sends; the rest is only sent by clients
}

// choose finds the types that clients see.
func (g *tsGenerator) choose() error {
	seen := map[reflect.Type]bool{refusalType: true}
	for _, d := range g.declarations {
		if d.Name == hiddenEvent {
			continue
		}
		sent := d.Payload
		if d.command() {
			sent = d.Ack
		}
		if err := errors.Join(reach(d.Payload, seen), reach(sent, seen), reach(sent, g.received)); err != nil {
			return err
		}
	}
	for _, typ := range g.model.types {
		if seen[typ] {
			g.types = append(g.types, typ)
			g.exported[typ.Name()] = true
		}
	}
	return nil
}

// names writes WS_EVENTS: one constant per name, named as the event's variable or,
// where only a command has the name, as the command's. Most of them follow from the
// name, and a page does not load what follows.
func (g *tsGenerator) names() (string, error) {
	var b, others strings.Builder
	b.WriteString(tsHeader + `
import { constants } from "./constants.js";

/** Every declared name on the wire: events that a server sends and commands that a client emits. */
export const WS_EVENTS = /* @__PURE__ */ constants([
`)
	constants, group := map[string]string{}, ""
	for _, d := range g.declarations {
		if d.Name == hiddenEvent || d.command() && g.isEvent(d.Name) {
			continue
		}
		if d.in.group != group {
			group = d.in.group
			b.WriteString("  // " + firstSentence(group) + "\n")
		}
		constant := constantName(d.in.name)
		if other, taken := constants[constant]; taken {
			return "", fmt.Errorf("%s and %s would both be WS_EVENTS.%s", other, d.Name, constant)
		}
		constants[constant] = d.Name
		if constant == followingFrom(d.Name) {
			fmt.Fprintf(&b, "  %q,\n", d.Name)
		} else {
			fmt.Fprintf(&others, "  %s: %q,\n", constant, d.Name)
		}
	}
	b.WriteString("], {\n  // Named otherwise than they are on the wire.\n" + others.String() + `});

/** Any declared name. */
export type WsEventName = (typeof WS_EVENTS)[keyof typeof WS_EVENTS];
`)
	return b.String(), nil
}

func (g *tsGenerator) isEvent(name string) bool {
	return slices.ContainsFunc(g.declarations, func(d declaration) bool { return d.Name == name && !d.command() })
}

// constantName turns a variable's name into a constant's: DocketEntryAdded becomes
// DOCKET_ENTRY_ADDED.
func constantName(variable string) string {
	if name, ok := constantNames[variable]; ok {
		return name
	}
	var b strings.Builder
	for i, r := range variable {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// followingFrom returns the constant that the function constants of the package makes
// of a name.
func followingFrom(name string) string {
	return strings.ToUpper(strings.NewReplacer(":", "_", "-", "_").Replace(name))
}

// enums writes every string type as an object of its members and the union of them.
// Members that have a comment are written out, for editors to show it.
func (g *tsGenerator) enums() (string, error) {
	var b strings.Builder
	b.WriteString(tsHeader + "\nimport { constants } from \"./constants.js\";\n")
	for _, typ := range g.types {
		if typ.Kind() != reflect.String {
			continue
		}
		members, closed, err := g.membersOf(typ)
		if err != nil {
			return "", err
		}
		name := tsName(typ)
		b.WriteString("\n")
		g.comment(&b, "", g.docOf(typ))
		g.writeMembers(&b, name, members)
		union := fmt.Sprintf("(typeof %s)[keyof typeof %s]", name, name)
		if !closed {
			union += " | (string & {})" // open: the members are suggested, any other is allowed
		}
		fmt.Fprintf(&b, "export type %s = %s;\n", name, union)
	}
	return b.String(), nil
}

func (g *tsGenerator) writeMembers(b *strings.Builder, name string, members []constant) {
	if !slices.ContainsFunc(members, func(c constant) bool { return c.doc != "" }) {
		var values []string
		for _, c := range members {
			values = append(values, c.value)
		}
		fmt.Fprintf(b, "export const %s = /* @__PURE__ */ constants([%s]);\n", name, quoted(values))
		return
	}
	fmt.Fprintf(b, "export const %s = {\n", name)
	for _, c := range members {
		g.comment(b, "  ", c.doc)
		fmt.Fprintf(b, "  %s: %q,\n", followingFrom(c.value), c.value)
	}
	b.WriteString("} as const;\n")
}

// payloads writes an interface for every struct.
func (g *tsGenerator) payloads() string {
	var b strings.Builder
	for _, typ := range g.types {
		if typ.Kind() == reflect.Struct && typ != noneType {
			b.WriteString("\n")
			g.writeInterface(&b, typ)
		}
	}
	body := b.String()
	return tsHeader + "\n" + g.imports(body, "./enums.js", reflect.String) + body + tsNoRequest
}

func (g *tsGenerator) writeInterface(b *strings.Builder, typ reflect.Type) {
	fields, embedded := g.fieldsOf(typ)
	g.comment(b, "", g.docOf(typ))
	fmt.Fprintf(b, "export interface %s", tsName(typ))
	for i, e := range embedded {
		b.WriteString([]string{" extends ", ", "}[min(i, 1)] + tsName(e))
	}
	b.WriteString(" {\n")
	for _, f := range fields {
		g.comment(b, "  ", f.doc)
		mark, of := "?", g.typeOf(f.typ, !g.received[typ])
		if !f.optional || typ == baseType { // a server fills in the timestamp
			mark = ""
		}
		if f.key == "success" {
			of = strconv.FormatBool(typ != refusalType) // tells an ack from a refusal
		}
		fmt.Fprintf(b, "  %s%s: %s;\n", f.key, mark, of)
	}
	if typ == baseType {
		b.WriteString("  /** Newer servers and services may send further keys. */\n  [key: string]: unknown;\n")
	}
	b.WriteString("}\n")
}

// typeOf returns a type in TypeScript. Lists that clients send may be read-only.
func (g *tsGenerator) typeOf(typ reflect.Type, readonly bool) string {
	switch {
	case typ == timeType:
		return "string"
	case raw(typ):
		return "unknown"
	case typ.Kind() == reflect.Struct || typ.Kind() == reflect.String && typ.PkgPath() != "":
		return tsName(typ)
	case typ.Kind() == reflect.Slice:
		of := g.typeOf(typ.Elem(), readonly) + "[]"
		if readonly {
			of = "readonly " + of
		}
		return of
	case typ.Kind() == reflect.Map:
		return "Record<string, " + g.typeOf(typ.Elem(), readonly) + ">"
	case typ.Kind() == reflect.Pointer:
		return g.typeOf(typ.Elem(), readonly)
	case typ.Kind() == reflect.Bool:
		return "boolean"
	case typ.Kind() == reflect.String:
		return "string"
	default:
		return "number"
	}
}

// maps writes EventMap and CommandMap.
func (g *tsGenerator) maps() string {
	var events, commands strings.Builder
	for _, d := range g.declarations {
		switch {
		case d.Name == hiddenEvent:
		case d.command():
			g.comment(&commands, "  ", g.docOfName(d))
			fmt.Fprintf(&commands, "  %q: [request: %s, ack: %s];\n", d.Name, g.typeOf(d.Payload, true), g.typeOf(d.Ack, false))
		default:
			g.comment(&events, "  ", g.docOfName(d))
			fmt.Fprintf(&events, "  %q: %s;\n", d.Name, g.typeOf(d.Payload, false))
		}
	}
	body := fmt.Sprintf(tsMaps, events.String(), commands.String())
	return tsHeader + "\n" + g.imports(body, "./payloads.js", reflect.Struct) + body
}

// namespaces writes where each name is delivered and may be emitted: by its first
// part, but for the names that are everywhere.
func (g *tsGenerator) namespaces() string {
	every, byPart := []string{}, map[string][]string{}
	for _, d := range g.declarations {
		part, _, several := strings.Cut(d.Name, ":")
		switch {
		case d.Name == hiddenEvent:
		case !slices.Equal(d.Namespaces, subjects.Namespaces(d.Name)):
			every = append(every, d.Name)
		case several && !slices.Equal(d.Namespaces, subjects.Namespaces(part)):
			byPart[part] = d.Namespaces
		}
	}
	var b strings.Builder
	for _, part := range slices.Sorted(maps.Keys(byPart)) {
		fmt.Fprintf(&b, "  %q: [%s],\n", part+":", quoted(byPart[part]))
	}
	slices.Sort(every)
	return tsHeader + fmt.Sprintf(tsNamespaces, quoted(slices.Compact(every)), b.String())
}

func quoted(names []string) string {
	var all []string
	for _, name := range names {
		all = append(all, fmt.Sprintf("%q", name))
	}
	return strings.Join(all, ", ")
}

// imports writes the import of what body names, among the types of one kind.
func (g *tsGenerator) imports(body, from string, kind reflect.Kind) string {
	words := map[string]bool{}
	for _, word := range strings.FieldsFunc(withoutComments(body), func(r rune) bool { return !unicode.IsLetter(r) }) {
		words[word] = true
	}
	var names []string
	for _, typ := range g.types {
		if name := tsName(typ); typ.Kind() == kind && words[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return "import type {\n  " + strings.Join(names, ",\n  ") + ",\n} from \"" + from + "\";\n"
}

// withoutComments drops whole lines of comments.
func withoutComments(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if trimmed := strings.TrimSpace(line); !strings.HasPrefix(trimmed, "/*") && !strings.HasPrefix(trimmed, "*") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// comment writes a Go comment as one of TypeScript.
func (g *tsGenerator) comment(b *strings.Builder, indent, doc string) {
	if doc == "" {
		return
	}
	doc = strings.ReplaceAll(g.link(doc, g.linkTo), "*/", "*\u200b/")
	lines := strings.Split(doc, "\n")
	if len(lines) == 1 {
		fmt.Fprintf(b, "%s/** %s */\n", indent, doc)
		return
	}
	fmt.Fprintf(b, "%s/**\n", indent)
	for _, line := range lines {
		fmt.Fprintf(b, "%s *%s\n", indent, strings.TrimRight(" "+line, " "))
	}
	fmt.Fprintf(b, "%s */\n", indent)
}

func (g *tsGenerator) linkTo(goName string) string {
	if g.exported[goName] {
		return "{@link " + orRenamed(goName) + "}"
	}
	return "`" + goName + "`"
}

func tsName(typ reflect.Type) string { return orRenamed(typ.Name()) }

func orRenamed(goName string) string {
	if name, ok := renamed[goName]; ok {
		return name
	}
	return goName
}
