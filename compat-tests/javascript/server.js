// The official Socket.IO server with a handler that only acks each number, for the
// benchmark.
//
//	node server.js port
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer((request, response) => response.end("OK")); // on /health
new Server(http).on("connection", (socket) => {
  socket.on("number", (number, ack) => ack?.());
});
http.listen(Number(process.argv[2]), "127.0.0.1");
