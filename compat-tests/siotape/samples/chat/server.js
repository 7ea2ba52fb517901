// The chat of server.py on Node.js.
//
// Environment: PORT (5000); NODE_MODULES, the directory of socket.io.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const here = new URL(".", import.meta.url);
const modules = process.env.NODE_MODULES ?? new URL("../../../javascript/node_modules", here).pathname;
const { Server } = createRequire(import.meta.url)(modules + "/socket.io");
const client = process.env.CLIENT ?? modules + "/socket.io-client/dist/socket.io.min.js";
const pixel = Buffer.from("89504e470d0a1a0a00ff", "hex");

const sessions = new Map(); // token -> name
const users = new Map(); // Socket.IO session id -> name
const likes = new Map(); // message id -> count
let messages = 0;

const cookie = (req, name) => new RegExp(`(?:^|; )${name}=([^;]*)`).exec(req.headers.cookie ?? "")?.[1];

const body = async (req) => {
  let text = "";
  for await (const chunk of req) text += chunk;
  return new URLSearchParams(text);
};

const routes = {
  "GET /": (req, answer) => answer(200, "text/html; charset=utf-8", readFileSync(new URL("page.html", here)), { "Cache-Control": "no-cache" }),
  "GET /client.js": (req, answer) => answer(200, "text/javascript; charset=utf-8", readFileSync(client)),
  "POST /login": async (req, answer) => {
    const form = await body(req);
    if (form.get("password") !== "open sesame") return answer(403, "text/plain; charset=utf-8", "wrong password");
    const token = randomUUID().replaceAll("-", "");
    sessions.set(token, form.get("name"));
    answer(303, "text/plain; charset=utf-8", "", {
      Location: "/me",
      "Set-Cookie": [`session=${token}; HttpOnly; Path=/; SameSite=Lax`, "theme=dark; Max-Age=3600; Path=/"],
    });
  },
  "GET /me": (req, answer) => {
    const name = sessions.get(cookie(req, "session"));
    if (name === undefined) return answer(401, "text/plain; charset=utf-8", "who are you?");
    answer(200, "application/json", JSON.stringify({ name, now: Date.now() }), { "Cache-Control": "no-store" });
  },
  "GET /pixel.png": (req, answer) => {
    if (req.headers["if-none-match"] === '"pixel-1"') return answer(304, "text/html; charset=utf-8", "", { ETag: '"pixel-1"' });
    answer(200, "image/png", pixel, { ETag: '"pixel-1"' });
  },
};

const http = createServer((req, res) => {
  const route = routes[`${req.method} ${req.url.split("?")[0]}`];
  const answer = (status, type, text, headers = {}) => {
    res.writeHead(status, { "Content-Type": type, ...headers });
    res.end(text);
  };
  if (route) return route(req, answer);
  answer(404, "text/plain", "not found");
});

const io = new Server(http);

io.on("connection", (socket) => {
  socket.on("hello", (data, ack) => {
    users.set(socket.id, data.name);
    socket.broadcast.emit("joined", { name: data.name });
    ack({ id: socket.id, users: [...users.values()].sort() });
  });

  socket.on("join", (data, ack) => {
    if (data.room === "cellar") return ack({ error: "no such room" });
    socket.join(data.room);
    io.to(data.room).emit("system", { text: `${users.get(socket.id)} has joined`, room: data.room });
    ack({ room: data.room });
  });

  socket.on("leave", (data, ack) => {
    socket.leave(data.room);
    io.to(data.room).emit("system", { text: `${users.get(socket.id)} has left`, room: data.room });
    ack({ room: null });
  });

  socket.on("say", (data, ack) => {
    messages += 1;
    const id = randomUUID();
    likes.set(id, 0);
    io.to(data.room).emit("message", { id, from: users.get(socket.id), text: data.text, at: Date.now() });
    io.to(data.room).emit("count", messages);
    ack({ id });
  });

  socket.on("like", (data) => {
    likes.set(data.id, likes.get(data.id) + 1);
    io.emit("liked", { id: data.id, count: likes.get(data.id) });
  });

  socket.on("typing", (data) => {
    socket.to(data.room).emit("typing", { name: users.get(socket.id) });
  });

  socket.on("quiz", (data) => {
    socket.emit("question", { text: "six times seven?" }, (answer) => {
      io.to(data.room).emit("answered", { answer, right: answer === 42 });
    });
  });

  socket.on("file", (name, data, ack) => {
    socket.broadcast.emit("file", { name, data, size: data.length });
    ack(Buffer.from(data).reverse());
  });

  socket.on("bye", () => socket.disconnect());

  socket.on("disconnect", () => {
    const name = users.get(socket.id);
    users.delete(socket.id);
    if (name !== undefined) socket.broadcast.emit("left", { name });
  });
});

const admin = io.of("/admin");
admin.use((socket, next) => {
  if (socket.handshake.auth.password === "secret") return next();
  const refusal = new Error("wrong password");
  refusal.data = { retry: 3 };
  next(refusal);
});
admin.on("connection", (socket) => {
  socket.on("stats", (ack) => ack({ users: users.size, messages }));
  socket.on("shout", (text) => io.emit("shouted", text));
});

// Longer than any pause of a client: a request on a connection that is just being closed
// would fail.
http.keepAliveTimeout = 60_000;
http.listen(process.env.PORT ?? 5000, "127.0.0.1");
