// Package subjects is the ground everything else stands on: what may cross the
// bus, under which subject, in which shape, and how long it is kept. It imports
// the standard library and nats.go only, so that any service can use it.
//
//	Subject                      Published by       Heard by            Promise
//	---------------------------  -----------------  ------------------  ------------------------------------------
//	lex.<kind>.<id>.<event>      any service        edges, services     stored, one total order, resumable; once
//	state.<kind>.<id>.<event>    one service each   edges               latest wins; a loss is repaired by hello
//	live.<kind>.<id>.<event>     services, edges    edges               at most once, dropped first, never stored
//	cmd.<event>                  edges              one service each    request and reply; never retried by an edge
//	hello.<namespace>            edges              one service each    request and reply, for a fresh socket
//	ctl.greet.<kind>.<id>        services           edges               at most once; hello is asked again, see greet.go
//	svc.<name>                   services           one service each    request and reply; no client reaches it
//	ctl.…                        edges, services    edges, services     at most once; leases repair what is lost
//	notify.user.<id>             any service        notifyd             stored until done, at least once
//	notify.many                  any service        notifyd             stored until done, at least once
//	deadletter.<reason>          edges, services    people              stored for 30 days, payload cut at 64 KiB
//
// <kind>.<id> is a room: the people who see the event. <event> is the Socket.IO
// event name with '.' for ':', so lex.case.123.docket.entry.added reaches the
// room case 123 as "docket:entry:added". Neither a new event nor a new command
// needs a change here: a name is enough. What is declared in this package has a
// Go type beside its name, and from that everything else is generated.
//
// Escaping is a security rule, not a convenience: JetStream stores a subject
// with a literal wildcard without complaint. Whatever becomes a token passes
// [Escape], [ValidEvent] or [Kind.Valid] first, and [Parse] accepts nothing that
// [Build] would not have built.
//
// What this package promises: subjects and rooms have exactly one spelling;
// every publish carries a Nats-Msg-Id and a JSON object; every declared event
// has one name, one class and one payload type.
//
// What it does not promise: that a payload from another program has the fields
// of its type (decoding ignores additional keys and leaves missing ones zero);
// that an id is unique beyond the stream's duplicate window of two minutes; that
// a request which timed out was not carried out.
//
// A request says until when its caller waits (Lex-Deadline, deadline.go). A service that keeps to
// [WithDeadline] and [InTime] carries out nothing later, however long it was stopped; that holds while
// the clocks of its host and of its caller's differ by less than a tenth of what the caller waits.
//
// In a cluster a bucket's Get and a stream's last message come from any replica, which may be behind. Who
// decides by what is not there asks the stream's leader: [FromLeader], [ValueFromLeader].
//
// All functions may be called concurrently.
package subjects
