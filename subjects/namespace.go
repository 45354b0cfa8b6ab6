package subjects

// The Socket.IO namespaces. The last two are aliases for older clients: they may
// emit and receive every name and are never the answer of [Namespaces].
const (
	NamespaceEvents        = "/events"
	NamespaceNotifications = "/notifications"
	NamespaceDashboard     = "/dashboard"
	NamespaceMessaging     = "/messaging"
	NamespaceRoot          = "/"
	NamespaceWS            = "/ws"
)

// Shared by all answers, so that asking costs no allocation.
var (
	onEvents        = []string{NamespaceEvents}
	onNotifications = []string{NamespaceNotifications}
	onDashboard     = []string{NamespaceDashboard}
	onMessaging     = []string{NamespaceMessaging}
	onPresence      = []string{NamespaceEvents, NamespaceMessaging}
	onEvery         = []string{NamespaceEvents, NamespaceNotifications, NamespaceDashboard, NamespaceMessaging}
)

// Namespaces returns where an event is delivered and from where it may be
// emitted, by its first part: a name of one part belongs to /events. It takes
// both forms of a name, "document:uploaded" and "document.uploaded", does not
// allocate, and its result is shared: do not change it.
func Namespaces(event string) []string {
	switch firstPart(event) {
	case "notification":
		return onNotifications
	case "dashboard":
		return onDashboard
	case "message", "typing", "conversation":
		return onMessaging
	case "presence":
		return onPresence
	default:
		return onEvents
	}
}

// firstPart returns what stands before the first separator, "" if there is none.
func firstPart(event string) string {
	for i := range len(event) {
		if event[i] == ':' || event[i] == '.' {
			return event[:i]
		}
	}
	return ""
}

// HelloSubject returns where an edge asks what a fresh socket of a namespace gets
// before "connected": "hello.notifications", "hello.root" for "/". An unknown
// namespace gives "", which NATS refuses as a subject.
func HelloSubject(namespace string) string {
	switch namespace {
	case NamespaceEvents:
		return HelloPrefix + "events"
	case NamespaceNotifications:
		return HelloPrefix + "notifications"
	case NamespaceDashboard:
		return HelloPrefix + "dashboard"
	case NamespaceMessaging:
		return HelloPrefix + "messaging"
	case NamespaceRoot:
		return HelloPrefix + "root"
	case NamespaceWS:
		return HelloPrefix + "ws"
	default:
		return ""
	}
}
