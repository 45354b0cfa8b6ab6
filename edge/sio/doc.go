// Package sio turns bytes into Engine.IO v4 and Socket.IO v5 packets and back. It does no I/O, keeps no
// clock, knows no rooms and no users, and imports nothing of this module.
//
// What it promises:
//
//   - Strictness. Input either is a packet or is refused with an [Error] that names why; the zero value of
//     nothing is ever guessed. Everything that protocol revision 5 calls malformed is refused, and so is
//     text that is not UTF-8: relayed to a room, it would make every browser there close its connection.
//   - Bounded memory. Decoding an input of n bytes allocates at most 2n bytes, and up to 128 for each
//     message of it that belongs to a binary packet, whatever the input announces. JSON is checked without
//     being built, nesting without recursion, and attachments are stored as they arrive, not as they are
//     counted in the header. MessagePack allocates its JSON and nothing else: at most 6n, and never more
//     than Limits.MaxBytes ([DecodeMsgpack] has the details).
//   - No allocation for what is frequent: a plain event that arrives, an event appended to a buffer with room.
//     MessagePack that arrives takes one allocation, as long as its JSON.
//
// What it does not: it does not interpret payloads, does not know which namespaces exist or are joined, and
// does not tell server from client; who may send which packet type is for the caller to say.
//
// # Wire
//
//	0{"sid":…}                      Engine.IO open            engineio.go
//	2  3  2probe  3probe  1  5  6   Engine.IO ping, pong, …   engineio.go
//	4<Socket.IO packet>             Engine.IO message         engineio.go
//	a<0x1e>b<0x1e>bAQID             a polling body            engineio.go
//
//	0/ns,{…}          CONNECT         decode.go, encode.go
//	2/ns,7["name",…]  EVENT, ack id 7
//	3/ns,7[…]         ACK
//	52-/ns,["name",{"_placeholder":true,"num":0},…]   BINARY_EVENT, then two binary messages
//
// # Two forms
//
// [Packet] is what a packet means, independent of how it was written: Data is raw JSON whatever travelled.
// Clients with socket.io-msgpack-parser write each packet as one binary message. msgpack.go transcodes it to
// JSON, msgpack_encode.go back, at this border, so that nothing behind it changes: [DecodeMsgpack] and
// [AppendMsgpack] are the twins of [Decoder] and [AppendPacket], and [Form] chooses between the encoders.
package sio
