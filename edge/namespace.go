package edge

import (
	"slices"

	"github.com/lexiflow/realtime/subjects"
)

// ns is a namespace's index in namespaces. Rooms, limits and frames are kept per namespace, because
// two rooms of one name in two namespaces are two rooms (contract 8, B45).
type ns uint8

const (
	nsEvents ns = iota
	nsNotifications
	nsDashboard
	nsMessaging
	nsRoot // alias "/": may emit and receive every name in its rooms
	nsWS   // alias "/ws": where websocketClient lands by default (contract 6.7)
	nsCount
)

var namespaces = [nsCount]string{"/events", "/notifications", "/dashboard", "/messaging", "/", "/ws"}

func (n ns) String() string { return namespaces[n] }

// alias reports whether the namespace carries every event name.
func (n ns) alias() bool { return n == nsRoot || n == nsWS }

// label is the namespace as `connected` announces it: without the slash.
func (n ns) label() string { return namespaces[n][1:] }

// namespaceNamed finds a namespace by the exact name of a CONNECT packet: case, slashes and queries
// count (socketio-protocol 9).
func namespaceNamed(name string) (ns, bool) {
	i := slices.Index(namespaces[:], name)
	return ns(max(i, 0)), i >= 0
}

// mayEmit reports whether a client may send this event in this namespace: the rule that says where an
// event arrives also says where a command starts.
func (n ns) mayEmit(event string) bool {
	return n.alias() || slices.Contains(subjects.Namespaces(event), namespaces[n])
}

// destinations appends the namespaces whose sockets receive an event: its homes and both aliases.
func destinations(dst []ns, event string) []ns {
	for _, name := range subjects.Namespaces(event) {
		if n, ok := namespaceNamed(name); ok {
			dst = append(dst, n)
		}
	}
	return append(dst, nsRoot, nsWS)
}
