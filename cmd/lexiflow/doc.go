// Command lexiflow is the one binary of LexiFlow Realtime: the edge that browsers connect to, an
// embedded NATS server, and the tools to try and operate them.
//
//	up        everything in one process, for a laptop and for trying things out
//	nats      the embedded NATS server alone
//	edge      one gateway between NATS and Socket.IO clients
//	publish   put one event on the bus
//	schema    what events and commands look like
//	notify    tell a user something
//	listen    connect as a client, or to the bus itself, and print what arrives
//	token     make and check access tokens
//	access    who may watch a case: show and change the list
//	revoke    throw out a user or a token
//	config    every setting, its flag, variable, value and where that comes from
//
// It is wiring and nothing else: flags become the Options of a package, a signal becomes a context, an
// error becomes an exit code. What a package can decide is decided there.
//
// # Promises
//
//   - Flags outrank environment variables, which outrank defaults; table.go lists all of them. A value
//     that is not allowed is an error naming the flag or variable, and never a silent default.
//   - Exit code 0 after a clean end, SIGTERM included; 1 when something failed; 2 for wrong usage.
//   - stdout carries results alone, so that it can be piped; logs and remarks go to stderr.
//   - No secret is printed: not by config, not in an error, not in a log. The demo token of up is
//     meant to be seen.
//
// # Not promised
//
//   - up is one machine and one process. Production brings its own NATS cluster and several edges.
//   - The wording of logs and help may change; names of commands, flags and variables may not.
//
// main.go is the root, table.go and config.go the settings, run.go what every long-running command
// shares, bus.go what every short one that needs NATS does; each other file is one command, but for page.go: the page of up.
package main
