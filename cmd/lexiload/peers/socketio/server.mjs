// A plain Socket.IO server to measure beside the edge: its defaults, the token verified with jsonwebtoken,
// rooms joined as the edge's clients join them, events read from the same NATS subject.
//
//   JWT_SECRET=… node server.mjs HOST:PORT NATS-URL

import { createServer } from "node:http";
import { connect } from "@nats-io/transport-node";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const [listen, nats] = process.argv.slice(2);
const secret = process.env.JWT_SECRET;
if (!listen || !nats || !secret) {
  console.error("usage: JWT_SECRET=… node server.mjs HOST:PORT NATS-URL");
  process.exit(2);
}

const http = createServer();
const io = new Server(http, { pingInterval: 25_000, pingTimeout: 60_000 });
const events = io.of("/events");

events.use((socket, next) => {
  jwt.verify(socket.handshake.auth.token, secret, { algorithms: ["HS256"] }, (error, claims) => {
    socket.data.user = claims?.sub;
    next(error ? new Error("Authentication failed") : undefined);
  });
});

events.on("connection", (socket) => {
  socket.join(`user.${socket.data.user}`);
  socket.on("subscribe:case", ({ caseId }, ack) => {
    socket.join(`case.${caseId}`);
    ack({ status: "subscribed", caseId });
  });
});

const nc = await connect({ servers: nats });
nc.subscribe("lex.case.>", {
  callback: (error, message) => {
    if (error) throw error;
    const [, kind, id, ...event] = message.subject.split(".");
    events.to(`${kind}.${id}`).emit(event.join(":"), message.json());
  },
});
nc.closed().then(() => process.exit(0)); // nothing left to measure

const [host, port] = listen.split(":");
http.listen(Number(port), host);
