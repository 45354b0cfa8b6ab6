package subjects

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// wireEvents is what clients know, written down a second time on purpose: name →
// where it is published, in which namespaces it appears, and its payload's keys
// ('?' marks an optional one). Every payload has timestamp? besides.
var wireEvents = map[string]struct{ published, namespaces, keys string }{
	"connected": {
		"", "/events /notifications /dashboard /messaging",
		"message? userId socketId namespace recovered from? to missed",
	},
	"pong":         {"", "/events /notifications /dashboard /messaging", ""},
	"disconnected": {"", "/events /notifications /dashboard /messaging", "userId socketId reason?"},
	"error":        {"", "/events /notifications /dashboard /messaging", "code message details?"},

	"notification:new": {
		"lex.user", "/notifications",
		"id type title message priority userId metadata? actionUrl? relatedEntityId? relatedEntityType? createdAt",
	},
	"notification:read":     {"lex.user", "/notifications", "notificationId userId readAt"},
	"notification:unread":   {"lex.user", "/notifications", "notificationId userId"},
	"notification:all-read": {"lex.user", "/notifications", "userId"},
	"notification:deleted":  {"lex.user", "/notifications", "notificationId userId"},
	"notification:count":    {"lex.user", "/notifications", "count userId"},

	"message:new": {
		"lex.conversation", "/messaging",
		"id conversationId content senderId senderName? attachments? metadata? clientId? createdAt",
	},
	"message:read":      {"lex.conversation", "/messaging", "messageId conversationId userId readAt"},
	"message:edited":    {"lex.conversation", "/messaging", "messageId conversationId userId content version editedAt"},
	"message:deleted":   {"lex.conversation", "/messaging", "messageId conversationId userId version deletedAt"},
	"message:delivered": {"live.conversation", "/messaging", "messageId conversationId userId deliveredAt"},
	"user:typing":       {"live.conversation", "/events", "conversationId userId userName isTyping"},
	"conversation:updated": {
		"lex.conversation", "/messaging",
		"conversationId title? memberIds createdBy createdAt revision",
	},
	"typing:start": {"live.conversation", "/messaging", "conversationId userId userName?"},
	"typing:stop":  {"live.conversation", "/messaging", "conversationId userId"},

	"dashboard:metrics": {
		"state.dashboard", "/dashboard",
		"activeCases pendingTasks upcomingDeadlines recentActivity totalRevenue? billableHours? customMetrics?",
	},
	"dashboard:activity": {
		"lex.case", "/dashboard",
		"id type title description userId? userName? caseId? caseName? priority?",
	},
	"dashboard:case-stats":    {"state.case", "/dashboard", "caseId status progress activeTasks upcomingDeadlines recentUpdates"},
	"dashboard:team-activity": {"lex.team", "/dashboard", "userId userName action details"},
	"dashboard:alert":         {"lex.dashboard", "/dashboard", "type severity title message actionRequired? actionUrl?"},

	"presence:update": {
		"state.presence", "/events /messaging",
		"userId status lastSeen activeConnections currentActivity? customStatus? devices?",
	},
	"user:presence":        {"state.presence", "/events", "userId isOnline lastSeen?"},
	"presence:bulk-update": {"", "/events /messaging", "users"},

	"case:created":        {"lex.case", "/events", "caseId caseNumber title clientId clientName? createdBy createdAt"},
	"case:updated":        {"lex.case", "/events", "caseId caseNumber changes updatedBy updatedAt"},
	"case:deleted":        {"lex.case", "/events", "caseId caseNumber deletedBy deletedAt"},
	"case:status:changed": {"lex.case", "/events", "caseId caseNumber oldStatus newStatus changedBy changedAt"},
	"document:uploaded":   {"lex.case", "/events", "documentId fileName fileSize mimeType caseId? uploadedBy uploadedAt"},
	"document:processed":  {"lex.case", "/events", "documentId fileName status extractedText? metadata? error?"},
	"document:shared":     {"lex.case", "/events", "documentId fileName sharedWith sharedBy permissions sharedAt"},
	"docket:entry:added":  {"lex.case", "/events", "entryId caseId entryNumber description filedDate documentCount addedAt"},

	"task:created": {
		"lex.case", "/events",
		"taskId title description? assignedTo? caseId? dueDate? priority createdBy createdAt",
	},
	"task:updated":         {"lex.case", "/events", "taskId changes updatedBy updatedAt"},
	"task:completed":       {"lex.case", "/events", "taskId title completedBy completedAt caseId?"},
	"deadline:approaching": {"lex.case", "/events", "deadlineId caseId caseName description dueDate timeRemaining severity"},
	"deadline:missed":      {"lex.case", "/events", "deadlineId caseId caseName description dueDate missedBy"},

	"message":     {"lex.room", "/events", "from userId? message"},
	"user_joined": {"live.room", "/events", "room socketId userId? userName? participantCount"},
	"user_left":   {"live.room", "/events", "room socketId userId? participantCount"},

	"collaboration:joined": {"lex.case", "/events", "documentId userId userName cursorPosition?"},
	"collaboration:left":   {"lex.case", "/events", "documentId userId"},
	"collaboration:cursor": {"live.case", "/events", "documentId userId cursorPosition"},
	"collaboration:edit":   {"lex.case", "/events", "documentId userId changes version"},

	"system:alert": {
		"lex.all", "/events",
		"id type severity title message affectedUsers? startTime? endTime? actionRequired? actionUrl?",
	},
	"system:maintenance": {"lex.all", "/events", "maintenanceId type startTime estimatedEndTime message affectedServices"},

	"access:changed": {"lex.case", "/events", "allow deny revision"}, // of this system, for edges and services
}

func TestEveryEventIsDeclaredOnce(t *testing.T) {
	declared := map[string]int{}
	for _, d := range Declarations() {
		if d.Role == RoleCommand {
			continue
		}
		declared[d.Name]++
		want, ok := wireEvents[d.Name]
		if !ok {
			t.Errorf("%s is declared and not in this table", d.Name)
			continue
		}
		published := ""
		if d.Role == RoleEvent {
			published = d.Class.String() + "." + string(d.Kind)
		}
		if published != want.published {
			t.Errorf("%s is published to %q, want %q", d.Name, published, want.published)
		}
		if got := strings.Join(d.Namespaces, " "); got != want.namespaces {
			t.Errorf("%s appears in %s, want %s", d.Name, got, want.namespaces)
		}
		if got, want := jsonKeys(d.Payload), strings.TrimSpace(want.keys+" timestamp?"); got != want {
			t.Errorf("%s has the keys\n  %s, want\n  %s", d.Name, got, want)
		}
	}
	for name := range wireEvents {
		if declared[name] != 1 {
			t.Errorf("%s is declared %d times", name, declared[name])
		}
	}
}

// wireCommands is what clients emit: name → who answers, and the keys of request
// and ack.
var wireCommands = map[string]struct{ by, request, ack string }{
	"subscribe:case":   {"edge", "caseId since?", "status caseId offset? recovered?"},
	"unsubscribe:case": {"edge", "caseId", "status caseId offset? recovered?"},
	"history":          {"edge", "room before? limit?", "success room events before? complete"},
	"join_room":        {"edge", "room", "success"},
	"leave_room":       {"edge", "room", "success"},
	"send_message":     {"edge", "room message", "success"},
	"join-room":        {"edge", "string", "success"},
	"leave-room":       {"edge", "string", "success"},
	"ping":             {"edge", "", "success"},
	"auth:refresh":     {"edge", "token", "success expiresAt"},

	"notification:mark-read":     {"service", "notificationId", "success unreadCount"},
	"notification:mark-unread":   {"service", "notificationId", "success unreadCount"},
	"notification:mark-all-read": {"service", "", "success unreadCount"},
	"notification:delete":        {"service", "notificationId wasUnread?", "success"},
	"notification:list":          {"service", "cursor? limit? unreadOnly?", "success notifications nextCursor? unreadCount"},
	"notification:preferences":   {"service", "set?", "success preferences"},
	"notification:follow":        {"service", "caseId", "success caseId following"},
	"notification:unfollow":      {"service", "caseId", "success caseId following"},
	"notifications:subscribe":    {"service", "", "success"},
	"notifications:unsubscribe":  {"service", "", "success"},

	"message:send":         {"service", "conversationId content attachments? clientId?", "success messageId message"},
	"message:read":         {"service", "messageId conversationId", "success unreadCount"},
	"message:delivered":    {"service", "messageId conversationId", "success"},
	"message:history":      {"service", "conversationId before? limit?", "success conversationId messages hasMore"},
	"message:edit":         {"service", "conversationId messageId content", "success message"},
	"message:delete":       {"service", "messageId conversationId", "success message"},
	"message:versions":     {"service", "messageId conversationId", "success versions"},
	"typing:start":         {"service", "conversationId", "success"},
	"typing:stop":          {"service", "conversationId", "success"},
	"typing":               {"service", "conversationId isTyping", "success"},
	"conversation:create":  {"service", "title? memberIds clientId?", "success conversationId conversation receipts"},
	"conversation:list":    {"service", "cursor? limit?", "success conversations cursor? unreadCount"},
	"conversation:members": {"service", "conversationId add? remove?", "success conversationId conversation receipts"},
	"conversation:join":    {"service", "conversationId", "success conversationId"},
	"conversation:leave":   {"service", "conversationId", "success conversationId"},

	"dashboard:subscribe":       {"service", "types", "success subscriptions"},
	"dashboard:unsubscribe":     {"service", "types", "success subscriptions"},
	"dashboard:request-refresh": {"service", "", "success"},

	"presence:set-status":          {"service", "status", "success presence"},
	"presence:set-activity":        {"service", "activity", "success presence"},
	"presence:clear-activity":      {"service", "", "success presence"},
	"presence:set-custom-status":   {"service", "customStatus", "success presence"},
	"presence:clear-custom-status": {"service", "", "success presence"},
	"presence:heartbeat":           {"service", "status activity? customStatus?", "success"},
	"presence:active":              {"service", "", "success"},
	"presence:idle":                {"service", "", "success"},
	"presence:subscribe":           {"service", "userIds", "success"},
	"presence:unsubscribe":         {"service", "userIds", "success"},
	"presence:update":              {"service", "isOnline", "success"},
}

func TestEveryCommandIsDeclaredOnce(t *testing.T) {
	declared := map[string]int{}
	for _, d := range Declarations() {
		if d.Role != RoleCommand {
			continue
		}
		declared[d.Name]++
		by := "service"
		if d.AtEdge {
			by = "edge"
		}
		got := struct{ by, request, ack string }{by, jsonKeys(d.Payload), jsonKeys(d.Ack)}
		if want, ok := wireCommands[d.Name]; !ok || got != want {
			t.Errorf("%s is %+v, want %+v", d.Name, got, want)
		}
	}
	for name := range wireCommands {
		if declared[name] != 1 {
			t.Errorf("%s is declared %d times", name, declared[name])
		}
	}
}

// TestWireConstants covers the 54 constants of the original's WS_EVENTS.
func TestWireConstants(t *testing.T) {
	const constants = `connected disconnected error
		notification:new notification:read notification:deleted notification:count notification:all-read
		message:new message:send message:read typing:start typing:stop conversation:join conversation:leave
		dashboard:metrics dashboard:activity dashboard:case-stats dashboard:team-activity dashboard:alert
		dashboard:subscribe dashboard:unsubscribe dashboard:request-refresh
		presence:update presence:bulk-update presence:set-status presence:set-activity presence:heartbeat
		case:created case:updated case:deleted case:status:changed subscribe:case unsubscribe:case
		document:uploaded document:processed document:shared task:created task:updated task:completed
		deadline:approaching deadline:missed docket:entry:added
		join_room leave_room user_joined user_left message
		collaboration:joined collaboration:left collaboration:cursor collaboration:edit
		system:alert system:maintenance`
	names := strings.Fields(constants)
	if len(names) != 54 {
		t.Fatalf("the table has %d names", len(names))
	}
	all := Declarations()
	for _, name := range names {
		if !slices.ContainsFunc(all, func(d Declaration) bool { return d.Name == name }) {
			t.Errorf("%s is not declared", name)
		}
	}
}

// TestEnums asserts that every field with a closed set of values says which.
func TestEnums(t *testing.T) {
	enums := map[reflect.Type]bool{}
	for _, d := range Declarations() {
		for typ := range enumsIn(d.Payload) {
			enums[typ] = true
		}
	}
	delete(enums, reflect.TypeFor[Code]()) // open: services have codes of their own
	if len(enums) != 11 {
		t.Errorf("found %d enums, want 11: %v", len(enums), enums)
	}
	for typ := range enums {
		enum, ok := reflect.TypeAssert[Enum](reflect.Zero(typ))
		if !ok {
			t.Errorf("%v does not list its values", typ)
			continue
		}
		if values := enum.Values(); len(values) < 2 || slices.Contains(values, "") {
			t.Errorf("%v has the values %q", typ, values)
		}
	}
}

// enumsIn finds the string types of this package inside a payload.
func enumsIn(typ reflect.Type) map[reflect.Type]bool {
	found := map[reflect.Type]bool{}
	switch {
	case typ == reflect.TypeFor[Time]():
	case typ.Kind() == reflect.String && typ.PkgPath() != "":
		found[typ] = true
	case typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Map:
		return enumsIn(typ.Elem())
	case typ.Kind() == reflect.Struct:
		for field := range typ.Fields() {
			for enum := range enumsIn(field.Type) {
				found[enum] = true
			}
		}
	}
	return found
}

// jsonKeys lists a type's keys, the optional ones with '?'; a type that is no
// object is its own description.
func jsonKeys(typ reflect.Type) string {
	if typ.Kind() != reflect.Struct {
		return typ.String()
	}
	var keys []string
	for field := range typ.Fields() {
		tag, ok := field.Tag.Lookup("json")
		if !ok && field.Anonymous {
			keys = append(keys, jsonKeys(field.Type))
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		switch {
		case name == "":
			name = fmt.Sprintf("<%s has no tag>", field.Name)
		case option == "omitempty" || option == "omitzero":
			name += "?"
		}
		keys = append(keys, name)
	}
	return strings.Join(keys, " ")
}
