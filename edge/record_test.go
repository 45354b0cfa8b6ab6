package edge

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// fillFields gives every field of a struct a value that is not zero, so that one that is forgotten shows.
func fillFields(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString("\u00e4\"\\<\n&\u2028" + v.Type().Field(i).Name)
		case bool:
			f.SetBool(true)
		case uint64:
			f.SetUint(1<<40 + uint64(i))
		case int, int64:
			f.SetInt(int64(1<<40 + i))
		case []sessionRoom:
			rooms := make([]sessionRoom, 2)
			fillFields(t, reflect.ValueOf(&rooms[1]).Elem())
			f.Set(reflect.ValueOf(rooms))
		case subjects.Base:
			f.Set(reflect.ValueOf(subjects.Base{Timestamp: subjects.At(time.UnixMilli(1_700_000_000_123))}))
		default:
			t.Fatalf("field %s is of a type that is not encoded yet: %s", v.Type().Field(i).Name, f.Type())
		}
	}
}

func sameJSON(t *testing.T, got []byte, want any) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	if err := json.Unmarshal(mustJSON(want), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("encoded %s, encoding/json says %s", got, mustJSON(want))
	}
}

func TestRecordIsEncodedWhole(t *testing.T) {
	r := sessionRecord{Rooms: []sessionRoom{}}
	sameJSON(t, r.encode(), r)
	fillFields(t, reflect.ValueOf(&r).Elem())
	sameJSON(t, r.encode(), r)
}

func TestConnectedIsEncodedWhole(t *testing.T) {
	e := subjects.ConnectionEvent{Base: subjects.Base{Timestamp: subjects.At(time.UnixMilli(0))}}
	sameJSON(t, encodeConnected(&e), e)
	fillFields(t, reflect.ValueOf(&e).Elem())
	sameJSON(t, encodeConnected(&e), e)
}

func TestBatchIsSubjectsBatch(t *testing.T) {
	at := connections{s: &Server{options: Options{Name: "e"}}, incarnation: "i", seq: 7}
	events := []subjects.ConnEvent{at.about(subjects.ConnOpen, &socket{user: "u"}, time.UnixMilli(1))}
	got, want := reflect.TypeFor[batch](), reflect.TypeFor[subjects.ConnBatch]()
	if got.NumField() != want.NumField() {
		t.Errorf("%d fields, subjects has %d", got.NumField(), want.NumField())
	}
	sameJSON(t, mustJSON(batch{"e", "i", 7, events}), subjects.ConnBatch{Edge: "e", Incarnation: "i", Seq: 7, Events: events})
}
