package main

import (
	"strings"
	"testing"

	"github.com/lexiflow/realtime/subjects"
)

// edge/e2e checks the document against AsyncAPI's own schema; here is what that cannot
// know.

// at follows keys into a document; it is nil where there is nothing.
func at(v any, keys ...string) any {
	for _, key := range keys {
		object, _ := v.(map[string]any)
		v = object[key]
	}
	return v
}

func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	d, count := asyncAPIOf(t), 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if ref, ok := value.(string); ok && key == "$ref" {
					count++
					target, local := strings.CutPrefix(ref, "#/")
					if !local || at(d, strings.Split(target, "/")...) == nil {
						t.Errorf("%s leads nowhere", ref)
					}
				}
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	walk(d)
	if count < 500 {
		t.Errorf("only %d references found", count)
	}
}

// TestEveryDeclarationIsOnTheBus: an event has a channel to send to, a command one to
// answer on, and what the edge does alone has messages and no channel.
func TestEveryDeclarationIsOnTheBus(t *testing.T) {
	d := asyncAPIOf(t)
	for _, decl := range subjects.Declarations() {
		token := tokenOf(decl.Name)
		message, id, operation, action := "event."+token, decl.Class.String()+"."+token, "send."+token, "send"
		if decl.Role == subjects.RoleCommand {
			message, id, operation, action = "request."+token, "cmd."+token, "answer."+token, "receive"
			if at(d, "components", "messages", "ack."+token) == nil {
				t.Errorf("%s has no ack", decl.Name)
			}
		}
		if got := at(d, "components", "messages", message, "name"); got != decl.Name {
			t.Errorf("%s has the message %v", decl.Name, got)
		}
		if decl.AtEdge || decl.Role == subjects.RoleSocket {
			if at(d, "channels", id) != nil || at(d, "operations", operation) != nil {
				t.Errorf("%s has a channel", decl.Name)
			}
			continue
		}
		if got := at(d, "operations", operation, "action"); got != action {
			t.Errorf("%s is for a service to %v, want %s", decl.Name, got, action)
		}
		if got := at(d, "operations", operation, "channel", "$ref"); got != "#/channels/"+id {
			t.Errorf("%s leads to %v", decl.Name, got)
		}
		address, _ := at(d, "channels", id, "address").(string)
		if !addressFits(address, decl) {
			t.Errorf("%s is published on %q", decl.Name, address)
		}
	}
}

// addressFits builds a subject as a service would and compares.
func addressFits(address string, d subjects.Declaration) bool {
	if d.Role == subjects.RoleCommand {
		want, err := subjects.CommandSubject(d.Name)
		return err == nil && address == want
	}
	id := "x"
	if d.Kind == subjects.KindAll {
		id = subjects.AllID
	}
	want, err := d.Class.Subject(d.Kind, id, d.Name)
	return err == nil && strings.ReplaceAll(address, "{"+string(d.Kind)+"}", id) == want
}

func TestParametersAreDeclared(t *testing.T) {
	d := asyncAPIOf(t)
	channels, _ := at(d, "channels").(map[string]any)
	for id, channel := range channels {
		address, _ := at(channel, "address").(string)
		if address == "" && id != replyChannel {
			t.Errorf("%s has no address", id)
		}
		parameters, _ := at(channel, "parameters").(map[string]any)
		if got := strings.Count(address, "{"); got != len(parameters) {
			t.Errorf("%s has %d parameters in %s", id, len(parameters), address)
		}
		for name := range parameters {
			if !strings.Contains(address, "{"+name+"}") {
				t.Errorf("%s has no %s in %s", id, name, address)
			}
		}
	}
}

// TestKinds: parameters list every kind there is.
func TestKinds(t *testing.T) {
	for _, k := range kinds() {
		if !subjects.Kind(k).Valid() {
			t.Errorf("%q is no kind", k)
		}
	}
	for _, d := range subjects.Declarations() {
		if d.Role == subjects.RoleEvent && !strings.Contains(" "+strings.Join(kinds(), " ")+" ", " "+string(d.Kind)+" ") {
			t.Errorf("the kind %s is not listed", d.Kind)
		}
	}
}
