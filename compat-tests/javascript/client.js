// A counting client on the official Socket.IO client with its default transports.
//
// Environment: SERVER_URL; COUNT_SLEEP, the interval of its numbers in seconds (1); LIMIT,
// the number after which it exits (2000).
import { io } from "socket.io-client";

const url = process.env.SERVER_URL ?? "http://localhost:5000";
const pause = 1000 * (process.env.COUNT_SLEEP ?? 1);
const limit = Number(process.env.LIMIT ?? 2000);

const socket = io(url, { reconnectionDelay: 100, reconnectionDelayMax: 1000 });
let seat, number, running = false;

socket.on("connect", () => console.log("Connected to server!"));
socket.on("disconnect", () => { running = false; console.log("Disconnected from server!"); });
socket.on("connect_error", (e) => {
  console.log(`Error: ${e.message}`);
  if (!socket.active) setTimeout(() => socket.connect(), 100); // refused: the library does not try again
});
socket.on("client_assigned", ({ client_id, last_number }) => {
  [seat, number] = [client_id, last_number];
  console.log(`Assigned as ${seat}, resuming from ${number}`);
});
socket.on("start_game", () => { running = true; console.log("Game starting!"); });
socket.on("stop_game", () => { running = false; console.log("Game stopped!"); });

setInterval(() => {
  if (!running || !socket.connected) return;
  if (number > limit) {
    socket.close();
    process.exit(0);
  }
  console.log(`${seat} counting: ${number}`);
  socket.emit("number", { client_id: seat, number });
  number += 2;
}, pause);
