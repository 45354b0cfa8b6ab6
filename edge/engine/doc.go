// Package engine owns the sockets of an edge: it accepts connections, speaks HTTP just far enough to
// begin a WebSocket, reads and writes WebSocket frames (RFC 6455), and keeps Engine.IO v4 sessions
// over both transports, long-polling and WebSocket, with the upgrade from one to the other.
//
// # What it promises
//
//   - An idle WebSocket costs one descriptor, two small structs and no goroutine and no buffer
//     (Mode Epoll). Mode Goroutines is the same behaviour with a goroutine for each connection; it is
//     the reference, and what systems without epoll get. One test table runs over both.
//   - Callbacks of one session never overlap and never run inside Send or Close, so a caller may hold
//     its own locks there. Close is called exactly once for every Open, and nothing after it.
//   - Frames sent to a session arrive in the order of the Send calls, over an upgrade too: none lost,
//     none twice, unless their class allows a drop. Every drop and every close has a named reason
//     and a counter.
//   - Whatever request or WebSocket of a session reaches another engine than its own is served as if it had
//     not, if Options.Foreign reaches that engine.
//   - Send never blocks. What waits for one socket leaves in one writev.
//   - What a client may make the process hold is bounded: 16 KiB of request head, MaxPayload of an
//     unfinished message, QueueFrames and QueueBytes of unread frames, MaxPayload of what a compressed
//     message inflates to, and in the kernel 128 KiB that cannot be sent (Mode Epoll).
//   - Clients that offer permessage-deflate get large messages compressed, each compressed once for all
//     of them and never on the caller's time; the others get the same frame plain.
//
// # What it does not
//
// It knows no namespaces, rooms, users or JSON. Polling is not compressed. TLS ends at a proxy in
// front (a TLS connection given to ServeHTTP works, with a goroutine of its own). It does not
// promise that a frame whose Send returned true arrived: only the client can say so.
//
// # The way of the bytes
//
// In: accept_linux.go reads the request head. A WebSocket handshake (handshake.go) makes the
// descriptor a conn (conn_linux.go) of an event loop (loop_linux.go); anything else goes to net/http
// (handoff.go), from there to http.go and polling.go, and a WebSocket that came that way is moved to
// a loop or gets a goroutine (std.go). input.go turns bytes into messages (inflate.go those that are
// compressed), peer.go gives them to the session that the connection carries or wants to take over,
// session.go to the Handler.
//
// What belongs to a session of another engine goes to foreign.go; depart.go is what the other one does.
//
// Out: send.go applies the rules of a frame's class, queue.go holds what waits, and one write takes
// all of it, in the forms that deflate.go keeps: by the loop itself when a callback of its has sent it,
// else by the loop's writer (writer_linux.go), by a goroutine (std.go) or by the GET that is held
// (polling.go).
//
// hold.go lets what comes soon leave in the same write. Pings and timeouts come from wheel.go. What ends a
// session is in reason.go.
package engine
