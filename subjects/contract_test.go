package subjects

import (
	"slices"
	"testing"
)

func TestDeclarationsSpeakForThemselves(t *testing.T) {
	if DocketEntryAdded.Name() != "docket:entry:added" || DocketEntryAdded.Class() != Log || DocketEntryAdded.Kind() != KindCase {
		t.Errorf("%+v", DocketEntryAdded)
	}
	if got, err := DocketEntryAdded.Subject("a.b"); err != nil || got != "lex.case.a=2Eb.docket.entry.added" {
		t.Errorf("Subject = %q, %v", got, err)
	}
	if got := TypingStart.Filter(); got != "live.conversation.*.typing.start" {
		t.Errorf("Filter = %q", got)
	}
	if got := TypingStarted.Subject(); TypingStarted.Name() != "typing:start" || got != "cmd.typing.start" {
		t.Errorf("command %q on %q", TypingStarted.Name(), got)
	}
	emit, err := PresenceBulkUpdate.Emit(PresenceBulkUpdateEvent{})
	if err != nil || emit.Event != PresenceBulkUpdate.Name() || string(emit.Data) != `{"users":[]}` {
		t.Errorf("Emit = %s %s, %v", emit.Event, emit.Data, err)
	}
}

func TestDeclarationsAreCopied(t *testing.T) {
	first := Declarations()
	name := first[0].Name
	first[0].Name = "changed"
	if Declarations()[0].Name != name {
		t.Error("a caller changed the declarations")
	}
	if !slices.IsSortedFunc(first[1:], func(a, b Declaration) int {
		return slices.Compare([]string{a.Name, string(a.Role)}, []string{b.Name, string(b.Role)})
	}) {
		t.Error("not sorted")
	}
}

// TestDeclareRefuses runs what would stop the program of whoever wrote it.
func TestDeclareRefuses(t *testing.T) {
	for name, d := range map[string]Declaration{
		"an event twice":      {Name: "case:created", Role: RoleEvent},
		"in another role":     {Name: "connected", Role: RoleEvent},
		"a command twice":     {Name: "message:send", Role: RoleCommand},
		"not an event's name": {Name: "case.created", Role: RoleEvent},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was declared")
				}
			}()
			declare(d)
		})
	}
}
