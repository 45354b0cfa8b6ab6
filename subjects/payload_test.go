package subjects

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestPayloadJSON(t *testing.T) {
	when := At(time.Date(2025, 2, 3, 4, 5, 6, 789_999_999, time.FixedZone("CET", 3600)))
	revenue := 0.0
	for name, c := range map[string]struct {
		payload any
		want    string
	}{
		"times are UTC with milliseconds, absent options are absent": {
			CaseCreatedEvent{CaseID: "123", CaseNumber: "24-1", Title: "A v B", ClientID: "c", CreatedBy: "u", CreatedAt: when},
			`{"caseId":"123","caseNumber":"24-1","title":"A v B","clientId":"c","createdBy":"u","createdAt":"2025-02-03T03:05:06.789Z"}`,
		},
		"a timestamp that is set is sent": {
			NotificationCountEvent{Count: 0, UserID: "u", Base: Base{Timestamp: when}},
			`{"count":0,"userId":"u","timestamp":"2025-02-03T03:05:06.789Z"}`,
		},
		"required lists and maps are never null": {
			SystemMaintenanceEvent{Type: MaintenanceScheduled},
			`{"maintenanceId":"","type":"scheduled","startTime":"","estimatedEndTime":"","message":"","affectedServices":[]}`,
		},
		"nor are changes": {
			TaskUpdatedEvent{TaskID: "t", UpdatedAt: when},
			`{"taskId":"t","changes":{},"updatedBy":"","updatedAt":"2025-02-03T03:05:06.789Z"}`,
		},
		"a change has both values": {
			Changes{"status": {Old: nil, New: "open"}},
			`{"status":{"old":null,"new":"open"}}`,
		},
		"an optional number may be 0": {
			DashboardMetricsEvent{TotalRevenue: &revenue},
			`{"activeCases":0,"pendingTasks":0,"upcomingDeadlines":0,"recentActivity":0,"totalRevenue":0}`,
		},
		"no attachments, said so": {
			MessageEvent{ID: "m", Attachments: List[string]{}, CreatedAt: when},
			`{"id":"m","conversationId":"","content":"","senderId":"","attachments":[],"createdAt":"2025-02-03T03:05:06.789Z"}`,
		},
		"no attachments, not said": {
			MessageEvent{ID: "m", CreatedAt: when},
			`{"id":"m","conversationId":"","content":"","senderId":"","createdAt":"2025-02-03T03:05:06.789Z"}`,
		},
		"a list": {List[string]{"a"}, `["a"]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(c.payload)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestTimeRefusesToInvent(t *testing.T) {
	for name, payload := range map[string]any{
		"not set":          CaseDeletedEvent{CaseID: "1"},
		"year of 5 digits": Base{Timestamp: At(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))},
	} {
		if got, err := json.Marshal(payload); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTimeReads(t *testing.T) {
	for text, want := range map[string]string{
		`"2025-02-03T04:05:06.789Z"`:     "2025-02-03T04:05:06.789Z",
		`"2025-02-03T04:05:06+02:00"`:    "2025-02-03T02:05:06.000Z",
		`"2025-02-03T04:05:06.1234567Z"`: "2025-02-03T04:05:06.123Z",
		`"yesterday"`:                    "",
		`1738555506789`:                  "",
	} {
		var got Time
		err := json.Unmarshal([]byte(text), &got)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%s is read as %s, %v", text, got, err)
		}
	}
}

func TestDecode(t *testing.T) {
	got, err := DocumentUploaded.Decode([]byte(`{"documentId":"d","fileSize":5,"matter":{"x":1},"uploadedAt":"2025-02-03T04:05:06.789Z"}`))
	if err != nil || got.DocumentID != "d" || got.FileSize != 5 || got.UploadedAt.String() != "2025-02-03T04:05:06.789Z" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := DocumentUploaded.Decode([]byte(`{"documentId":5}`)); CodeOf(err) != CodeInvalidInput || !strings.Contains(err.Error(), "document:uploaded") {
		t.Errorf("a number for a string: %v", err)
	}
	for _, absent := range []string{"", "null", "{}"} {
		if _, err := NotificationMarkAllRead.Decode([]byte(absent)); err != nil {
			t.Errorf("no argument %q: %v", absent, err)
		}
	}
}
