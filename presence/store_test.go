package presence

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

func TestStore(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	s, err := newStore(t.Context(), jetStream(t, nc), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	at := subjects.At(epoch)
	r := record{
		public: subjects.PresenceUpdateEvent{
			UserID: "auth0|7", Status: "busy", LastSeen: at, ActiveConnections: 1, CustomStatus: "→ \"court\"\r\n",
			Devices: []subjects.PresenceDevice{{Kind: "mobile", Count: 1}}, Base: subjects.Base{Timestamp: at},
		},
		said: said{Status: "busy", Custom: "→ \"court\"\r\n", Once: true, Absent: []string{"s9"}},
		counted: counted{
			Connections: 1, Devices: []subjects.PresenceDevice{{Kind: "mobile", Count: 1}},
			Marks: map[string]mark{"e 1": {"x", 7}},
		},
	}
	const subject = "$KV.PRESENCE.auth0=7C7"
	first, err := s.saveRecord(t.Context(), r, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.saveRecord(t.Context(), r, 0); !errors.Is(err, errConflict) {
		t.Errorf("stored over a record it did not know: %v", err)
	}
	m, err := s.load(t.Context(), subject)
	if err != nil || m.revision != first {
		t.Fatalf("%+v, %v", m, err)
	}
	user, got, err := m.record()
	if err != nil || user != "auth0|7" || !reflect.DeepEqual(got, r) {
		t.Errorf("%s %+v, %v\nwant %+v", user, got, err, r)
	}
	if m.header.Get(headerTTL) != "" {
		t.Error("the record of who is there expires")
	}
	r.counted = counted{}
	if _, err := s.saveRecord(t.Context(), r, first); err != nil {
		t.Fatal(err)
	}
	if m, err = s.load(t.Context(), subject); err != nil || m.header.Get(headerTTL) != "1h0m0s" {
		t.Errorf("the record of who is away expires after %q, %v", m.header.Get(headerTTL), err)
	}
	if m, err := s.load(t.Context(), "$KV.PRESENCE.nobody"); err != nil || m.revision != 0 || len(m.data) != 0 {
		t.Errorf("nobody: %+v, %v", m, err)
	}
	if err := jetStream(t, nc).DeleteStream(t.Context(), recordStream); err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(t.Context(), subject); err == nil {
		t.Error("read from a bucket that is gone")
	}
}

// FuzzStored asserts that nothing that is stored, by whomever, breaks a reader, and that what is read can
// be stored again as it was.
func FuzzStored(f *testing.F) {
	f.Add("auth0=7C7", []byte(`{"userId":"x","status":"busy","lastSeen":"2026-01-01T00:00:00.000Z"}`), `{"said":{"status":"busy"},"counted":{"connections":2}}`)
	f.Add("u", []byte(``), ``)
	f.Fuzz(func(t *testing.T, key string, data []byte, hidden string) {
		m := stored{subject: recordPrefix + key, data: data, header: nats.Header{headerPrivate: {hidden}}}
		_, _, _ = stored{subject: watchPrefix + key, data: data}.watch()
		user, r, err := m.record()
		if err != nil || len(data) == 0 {
			return
		}
		back, err := json.Marshal(private{r.said, r.counted})
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(r.public)
		if err != nil {
			return // a time that is missing: never stored by this service
		}
		again := stored{subject: m.subject, data: body, header: nats.Header{headerPrivate: {string(back)}}}
		user2, r2, err := again.record()
		if err != nil || user2 != user || !sameView(r.public, r2.public) || !r.said.same(r2.said) || r.counted.Connections != r2.counted.Connections {
			t.Fatalf("%+v became %+v, %v", r, r2, err)
		}
	})
}
