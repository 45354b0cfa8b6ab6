// Package presence says who is online, away, busy or offline: one presence per user over all devices
// and edges.
//
// # Promises
//
//   - A user is offline when the last socket is gone, and that is announced once: at once when the
//     client left by itself, after the grace when its connection was lost, within the lease when its
//     edge was killed. Who comes back within the grace was never away.
//   - Nobody is declared gone because NATS is: an edge without a lease is asked first, and while leases
//     cannot be written, or only for a short time again, none is taken for dead.
//   - A status that was set stays until it is set anew. No heartbeat, no other device and no reconnect
//     undoes it.
//   - What is stored is what was announced: the bucket publishes a record by storing it, and a record
//     changes by compare-and-set alone. Any number of replicas may run; each may be killed at any time.
//   - A client hears of those it shares an ACCESS entry with and of those it subscribed to, never of
//     everyone, and gets a snapshot first, again after every resume.
//   - Heartbeats cost the bus nothing: edges keep them and report only who is idle.
//
// # Not promised
//
//   - An announcement is a gauge: a newer one may replace it on the way, and a client that was cut off
//     learns the state, not its history. Setting what changes nothing visible may repeat one.
//   - Who is added to a case, or taken out, is seen or not from half a second later on, or from the next
//     reconnect where the request to greet again was lost (subjects/greet.go). A replica that starts has
//     forgotten who was taken out before: their sockets may stay in rooms until they close.
//   - Sockets are counted as edges report them, up to a quarter of a second late.
//
// # How it works
//
//	ctl.conn.*        connections.go  every replica knows every socket: batches, gaps, snapshots
//	EDGES lease.*     leases.go       which edges are there, and which are certainly not
//	                  state.go        (state, fact, now) → (state, changes), pure
//	                  users.go        the state of each user, and when it has to be settled
//	                  settle.go       brings a stored record in line with the sockets, by compare-and-set
//	PRESENCE          store.go        records (one token) and what sockets watch (watch.<sid>)
//	ctl.presence.*    replicas.go     which replica goes first for a user; the others are late on purpose
//	cmd.presence.*    commands.go     what clients say about themselves
//	hello.*           hello.go        what a fresh socket gets; audience.go and watching.go say about whom
//	                  dialect.go      presence:update {isOnline} and user:presence of older clients
//
// Locks: a user's turn may be held while Service.mu is taken, never the other way round; all others are
// leaves.
package presence
