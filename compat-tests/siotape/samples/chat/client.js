// Two users of the chat, with logins, files and an admin.
//
//	node client.js URL [polling|websocket|upgrade]
//
// With STAY=1 in the environment one of them stays until the server ends.
import { createRequire } from "node:module";

const modules = process.env.NODE_MODULES ?? new URL("../../../javascript/node_modules", import.meta.url).pathname;
const { io } = createRequire(import.meta.url)(modules + "/socket.io-client");
const [url = "http://localhost:5001", kind = "upgrade"] = process.argv.slice(2);
const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[kind];

const pause = () => new Promise((resolve) => setTimeout(resolve, 120));
const once = (socket, event) => new Promise((resolve) => socket.once(event, resolve));
const open = async (namespace = "/", auth = {}) => {
  const socket = io(url + namespace, { transports, auth, forceNew: true, reconnection: false });
  socket.on("question", (question, ack) => ack(42));
  await Promise.race([once(socket, "connect"), once(socket, "connect_error")]);
  if (kind === "upgrade" && socket.connected && socket.io.engine.transport.name === "polling") {
    await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
  }
  await pause();
  return socket;
};
const ask = async (socket, ...args) => {
  const answer = await socket.emitWithAck(...args);
  await pause();
  return answer;
};
// tell sends an event without an ack, and waits for its effects.
const tell = async (comes, socket, ...args) => {
  const all = Promise.all(comes.map(([listener, event]) => once(listener, event)));
  socket.emit(...args);
  await all;
  await pause();
};

const login = (name, password) =>
  fetch(url + "/login", { method: "POST", body: new URLSearchParams({ name, password }), redirect: "manual" });
await login("ann", "guess");
const cookies = (await login("ann", "open sesame")).headers.getSetCookie().map((c) => c.split(";")[0]);
await fetch(url + "/me");
await fetch(url + "/me", { headers: { Cookie: cookies.join("; ") } });
const tag = (await fetch(url + "/pixel.png")).headers.get("ETag");
await fetch(url + "/pixel.png", { headers: { "If-None-Match": tag } });
await pause();

const ann = await open();
const bob = await open();
await ask(ann, "hello", { name: "ann" });
await ask(bob, "hello", { name: "bob" });
await ask(ann, "join", { room: "lobby" });
await ask(bob, "join", { room: "lobby" });
await ask(bob, "join", { room: "cellar" });
const { id } = await ask(ann, "say", { room: "lobby", text: "good morning ☀" });
await ask(bob, "say", { room: "lobby", text: "hello, ann" });
await tell([[ann, "liked"], [bob, "liked"]], bob, "like", { id });
await tell([[ann, "liked"], [bob, "liked"]], ann, "like", { id });
await tell([[bob, "typing"]], ann, "typing", { room: "lobby" });
await tell([[ann, "answered"]], bob, "quiz", { room: "lobby" });
await ask(ann, "file", "kana.bin", Buffer.from("カナ"));
await Promise.all(["one", "two", "three"].map((text) => ask(ann, "say", { room: "lobby", text })));
await ask(bob, "leave", { room: "lobby" });
await ask(ann, "say", { room: "lobby", text: "bob?" });
(await open("/admin", { password: "guess" })).close();
const admin = await open("/admin", { password: "secret" });
await ask(admin, "stats");
await tell([[ann, "shouted"], [bob, "shouted"]], admin, "shout", "closing time");
admin.close();
await pause();
await tell([[ann, "left"]], bob, "bye");
if (process.env.STAY) {
  console.log("all is said");
  await once(ann, "disconnect");
} else {
  ann.close();
  await pause();
}
process.exit(0);
