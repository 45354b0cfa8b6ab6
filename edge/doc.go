// Package edge is the gateway between NATS subjects and Socket.IO clients.
//
// # Promises
//
//   - What happened reaches every socket in its room once and in the order of the log: one reader
//     per edge, one fan-out goroutine, one queue per connection.
//   - Nobody is in a room who may not be: the identity comes from a verified token, the room from a
//     scope or from a service's reply, never from a name that a client sent.
//   - Every event that carries an ack id is acked, refused ones included, and every refusal, drop and
//     close has a named reason that is counted.
//   - A client that was cut off gets everything it missed, once and in order, from any edge, also after
//     kill -9 of its own; where something is missing it gets a fresh session, never a partial one.
//   - A service nobody has thought of needs no change here: it publishes lex.<kind>.<id>.<event> or
//     answers cmd.<event>.
//
// # Not promised
//
//   - The edge knows names and sizes, never meanings: it keeps no notification, message or presence.
//   - A command is sent once and never retried; TIMEOUT means "perhaps done".
//   - live.* events may be dropped for a slow reader, state.* events may be replaced by newer ones.
//
// # Down: from the bus to a browser
//
//	LEX, state.>, live.>  reader.go   one ordered consumer, two subscriptions, one channel
//	                      sequence.go no message of the log is skipped unnoticed; bus.go acts on it
//	                      fanout.go   subject → namespaces, room, event; payload completed and encoded once
//	                      hub.go      room → members
//	                      socket.go   one namespace connection: what it has, what it may
//	                      wire.go     JSON or MessagePack, as each client speaks
//	                      engine      bounded queue, one writev for what waits
//
// # Up: from a browser to the bus
//
//	engine      whole messages, in order, one callback at a time per connection
//	wire.go     JSON or MessagePack: the client's first message decides, nothing behind it can tell
//	client.go   one connection and its namespaces
//	connect.go  CONNECT: token, limits, then hello.go asks the services
//	greet.go    hello again, when a service says that its answer has changed
//	inbound.go  EVENT: rate, name, namespace; then rooms.go (what the edge itself answers)
//	            or commands.go (everything else: cmd.<event>, whose reply is the ack)
//
// # Back: a client that was cut off
//
//	session.go  the record in SESSIONS that CONNECT and the acks of joins wait for; record.go has its bytes
//	resume.go   CONNECT with a pid: read the record, check token and access again, take it over
//	catchup.go  what was missed: from ring.go, behind it from missed.go; live at exactly its end
//	since.go    the same for a client that keeps its own cursor; history.go: page by page, backward
//	mailbox.go  errands to the fan-out goroutine, which knows the position in the log
//
// auth.go, claims.go and keys.go verify tokens, revoked.go says which are good no more, access.go,
// access_changes.go and access_recent.go say who may enter, limits.go counts and bucket.go slows down, reasons.go names every
// refusal, health.go and metrics.go report, rest.go gives memory back, drain.go leaves.
//
// # Beside: what users hold on other edges
//
//	shares.go       the rule: what counts, and when a refusal is certain
//	shares_talk.go  who tells whom and when; shares_news.go has the bytes
//	doubts.go       CONNECTs and joins that wait for a moment until it is
//
// # Across: a polling client whose request, or WebSocket, reached another edge
//
//	exchange.go  how edges ask each other about sessions, on ctl.edge.<mark>.poll and .move
//	forward.go   a GET or POST on its way to the edge that the sid names
//	host.go      what that edge answers
//	move.go      a session leaves for the edge that took its WebSocket, with what waits for its client
//	arrive.go    and goes on there, at the same place of the log
//
// Locks, in the order in which they may be held together: client.turn, client.mu, socket.mu, then a hub
// stripe. accounts.mu is held while shares.mu is taken; shares.mu, doubts.mu, requests.mu,
// forwarder.mu and host.mu are leaves. The engine never calls back from inside Send.
package edge
