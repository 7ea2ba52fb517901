package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"counting/compat-tests/harness"
	"counting/compat-tests/results"
)

// A change is a mistake that somebody who rewrites the sample chat could make, as text to
// replace in server.py and in server.js.
type change struct {
	name        string
	flask, node [2]string
	// never is the reason in FORMAT.md why a replay does not find the change.
	never string
}

var changes = []change{
	{name: "an additional event", flask: [2]string{`    emit("count", messages, to=data["room"])`, `    emit("count", messages, to=data["room"]); emit("count", messages, to=data["room"])`},
		node: [2]string{`    io.to(data.room).emit("count", messages);`, `    io.to(data.room).emit("count", messages); io.to(data.room).emit("count", messages);`}},
	{name: "a missing event", flask: [2]string{`    emit("count", messages, to=data["room"])`, `    pass`},
		node: [2]string{`    io.to(data.room).emit("count", messages);`, ``}},
	{name: "an event 0.7 s after the last line", flask: [2]string{`emit("left", {"name": name}, broadcast=True, include_self=False)`, `emit("left", {"name": name}, broadcast=True, include_self=False); socketio.sleep(0.7); socketio.emit("ghost")`},
		node: [2]string{`socket.broadcast.emit("left", { name });`, `{ socket.broadcast.emit("left", { name }); setTimeout(() => io.emit("ghost"), 700); }`}},
	{name: "an event 6 s late", flask: [2]string{`    emit("typing", {"name": users[request.sid]}, to=data["room"], include_self=False)`, `    socketio.sleep(6); emit("typing", {"name": users[request.sid]}, to=data["room"], include_self=False)`},
		node: [2]string{`    socket.to(data.room).emit("typing", { name: users.get(socket.id) });`, `    setTimeout(() => socket.to(data.room).emit("typing", { name: users.get(socket.id) }), 6000);`}},
	{name: "an event from another handler", flask: [2]string{`    leave_room(data["room"])`, `    emit("shouted", "closing time", broadcast=True); leave_room(data["room"])`},
		node: [2]string{`    socket.leave(data.room);`, `    io.emit("shouted", "closing time"); socket.leave(data.room);`}},
	{name: "an event with another name", flask: [2]string{`emit("joined", {"name": data["name"]}`, `emit("entered", {"name": data["name"]}`},
		node: [2]string{`emit("joined", { name: data.name })`, `emit("entered", { name: data.name })`}},
	{name: "another string in a payload", flask: [2]string{`" has joined"`, `" joined"`}, node: [2]string{` has joined`, ` joined`}},
	{name: "another number in a payload", flask: [2]string{`likes[data["id"]] += 1`, `likes[data["id"]] += 2`}, node: [2]string{`likes.get(data.id) + 1`, `likes.get(data.id) + 2`}},
	{name: "a number as a string", flask: [2]string{`emit("count", messages,`, `emit("count", str(messages),`}, node: [2]string{`emit("count", messages)`, `emit("count", String(messages))`}},
	{name: "true as 1", flask: [2]string{`"right": answer == 42`, `"right": int(answer == 42)`}, node: [2]string{`right: answer === 42`, `right: Number(answer === 42)`}},
	{name: "a missing null", flask: [2]string{`return {"room": None}`, `return {}`}, node: [2]string{`ack({ room: null })`, `ack({})`}},
	{name: "an additional key", flask: [2]string{`"count": likes[data["id"]]}`, `"count": likes[data["id"]], "by": "x"}`}, node: [2]string{`count: likes.get(data.id) }`, `count: likes.get(data.id), by: "x" }`}},
	{name: "a missing key", flask: [2]string{`has joined", "room": data["room"]}`, `has joined"}`}, node: [2]string{"has joined`, room: data.room }", "has joined` }"}},
	{name: "an additional argument", flask: [2]string{`emit("count", messages, to`, `emit("count", (messages, 0), to`}, node: [2]string{`emit("count", messages)`, `emit("count", messages, 0)`}},
	{name: "a list in another order", flask: [2]string{`sorted(users.values())`, `sorted(users.values(), reverse=True)`}, node: [2]string{`[...users.values()].sort()`, `[...users.values()].sort().reverse()`}},
	{name: "two events in reverse order",
		flask: [2]string{`    emit("message", {"id": id,`, `    emit("count", messages, to=data["room"]); emit = lambda *a, **k: None if a[0] == "count" else socketio.emit(*a, **k)
    emit("message", {"id": id,`},
		node: [2]string{`    io.to(data.room).emit("message", {`, `    io.to(data.room).emit("count", messages); const emit = io.to(data.room).emit; io.to = () => ({ emit: (...a) => a[0] === "count" || Server.prototype.to.call(io, data.room).emit(...a) });
    io.to(data.room).emit("message", {`}},
	{name: "the ack before the events", flask: [2]string{`    join_room(data["room"])
    emit("system",`, `    join_room(data["room"]); room = request.sid; socketio.start_background_task(lambda: (socketio.sleep(0.05), socketio.emit("system", {"text": users[room] + " has joined", "room": data["room"]}, to=data["room"])))
    (lambda *a, **k: None)("system",`},
		node: [2]string{`    socket.join(data.room);
`, `    socket.join(data.room); return ack({ room: data.room }), io.to(data.room).emit("system", { text: users.get(socket.id) + " has joined", room: data.room });
`}},
	{name: "no ack", flask: [2]string{`    return {"id": id}`, `    import greenlet; raise greenlet.GreenletExit`}, node: [2]string{`    ack({ id });`, ``}},
	{name: "an ack with another value", flask: [2]string{`return {"error": "no such room"}`, `return {"error": "Traceback"}`}, node: [2]string{`error: "no such room"`, `error: "Traceback"`}},
	{name: "an ack whose id is not the event's", flask: [2]string{`return {"id": id}`, `return {"id": str(uuid.uuid4())}`}, node: [2]string{`ack({ id });`, `ack({ id: randomUUID() });`}},
	{name: "an id that is not a UUID", flask: [2]string{`id = str(uuid.uuid4())`, `id = uuid.uuid4().hex`}, node: [2]string{`const id = randomUUID();`, `const id = randomUUID().replaceAll("-", "");`}},
	{name: "an event of the server that asks for no ack", flask: [2]string{`, callback=answered)`, `)`}, node: [2]string{`{ text: "six times seven?" }, (answer) =>`, `{ text: "six times seven?" }); ((answer) =>`}},
	{name: "an ack of the client that is not used", flask: [2]string{`socketio.emit("answered", {"answer": answer,`, `socketio.emit("answered", {"answer": 7,`}, node: [2]string{`{ answer, right:`, `{ answer: 7, right:`}},
	{name: "to all clients, not only the room", flask: [2]string{`"room": data["room"]}, to=data["room"])
    return {"room": None}`, `"room": data["room"]}, broadcast=True)
    return {"room": None}`}, node: [2]string{"io.to(data.room).emit(\"system\", { text: `${users.get(socket.id)} has left`", "io.emit(\"system\", { text: `${users.get(socket.id)} has left`"}},
	{name: "also to the sender", flask: [2]string{`emit("typing", {"name": users[request.sid]}, to=data["room"], include_self=False)`, `emit("typing", {"name": users[request.sid]}, to=data["room"])`},
		node: [2]string{`socket.to(data.room).emit("typing"`, `io.to(data.room).emit("typing"`}},
	{name: "a room that is not left", flask: [2]string{`    leave_room(data["room"])`, `    pass`}, node: [2]string{`    socket.leave(data.room);`, ``}},
	{name: "an event in another namespace", flask: [2]string{`emit("shouted", text, namespace="/", broadcast=True)`, `emit("shouted", text, namespace="/admin", broadcast=True)`}, node: [2]string{`io.emit("shouted", text)`, `admin.emit("shouted", text)`}},
	{name: "a namespace that admits everybody", flask: [2]string{`auth.get("password") != "secret"`, `auth.get("password") == ""`}, node: [2]string{`auth.password === "secret"`, `auth.password !== ""`}},
	{name: "another message of a refusal", flask: [2]string{`ConnectionRefusedError("wrong password"`, `ConnectionRefusedError("go away"`}, node: [2]string{`new Error("wrong password")`, `new Error("go away")`}},
	{name: "other data of a refusal", flask: [2]string{`{"retry": 3}`, `{"retry": 5}`}, node: [2]string{`{ retry: 3 }`, `{ retry: 5 }`}},
	{name: "another byte in binary data", flask: [2]string{`return data[::-1]`, `return data[:0:-1] + b"\x00"`}, node: [2]string{`ack(Buffer.from(data).reverse())`, `ack(Buffer.concat([Buffer.from(data).reverse().subarray(0, -1), Buffer.alloc(1)]))`}},
	{name: "binary data as Base64", flask: [2]string{`"data": data, "size"`, `"data": __import__("base64").b64encode(data).decode(), "size"`}, node: [2]string{`{ name, data, size: data.length }`, `{ name, data: data.toString("base64"), size: data.length }`}},
	{name: "another status", flask: [2]string{`"who are you?", 401`, `"who are you?", 403`}, node: [2]string{`answer(401,`, `answer(403,`}},
	{name: "another body", flask: [2]string{`"wrong password", 403`, `"Wrong password", 403`}, node: [2]string{`charset=utf-8", "wrong password"`, `charset=utf-8", "Wrong password"`}},
	{name: "another byte in an image", flask: [2]string{`1a0a00ff")`, `1a0a00fe")`}, node: [2]string{`1a0a00ff",`, `1a0a00fe",`}},
	{name: "another media type", flask: [2]string{`mimetype="image/png"`, `mimetype="image/gif"`}, node: [2]string{`"image/png", pixel`, `"image/gif", pixel`}},
	{name: "a missing header", flask: [2]string{`    answer.headers["Cache-Control"] = "no-store"`, `    pass`}, node: [2]string{`{ "Cache-Control": "no-store" }`, `{}`}},
	{name: "a redirect to another URL", flask: [2]string{`{"Location": "/me"}`, `{"Location": "/"}`}, node: [2]string{`Location: "/me"`, `Location: "/"`}},
	{name: "a redirect with another status", flask: [2]string{`Response("", 303`, `Response("", 302`}, node: [2]string{`answer(303,`, `answer(302,`}},
	{name: "a cookie without HttpOnly", flask: [2]string{`httponly=True, samesite`, `samesite`}, node: [2]string{`; HttpOnly; Path=/; SameSite`, `; Path=/; SameSite`}},
	{name: "another value of a cookie", flask: [2]string{`"theme", "dark"`, `"theme", "light"`}, node: [2]string{`theme=dark`, `theme=light`}},
	{name: "a cookie that is ignored", flask: [2]string{`request.cookies.get("session")`, `request.cookies.get("sessionid")`}, node: [2]string{`cookie(req, "session")`, `cookie(req, "sessionid")`}},
	{name: "no 304", flask: [2]string{`request.headers.get("If-None-Match") ==`, `request.headers.get("If-None-Match") !=`}, node: [2]string{`req.headers["if-none-match"] ===`, `req.headers["if-none-match"] !==`}},
	{name: "a client that is not disconnected", flask: [2]string{`    disconnect()`, `    pass`}, node: [2]string{`() => socket.disconnect()`, `() => {}`}},
	{name: "a connection that is closed, not only a namespace that is left", flask: [2]string{`    disconnect()`, `    disconnect(); socketio.server.eio.disconnect(socketio.server.manager.eio_sid_from_sid(request.sid, "/"))`}, node: [2]string{`() => socket.disconnect()`, `() => socket.disconnect(true)`}},
	{name: "another ping interval", flask: [2]string{`SocketIO(app)`, `SocketIO(app, ping_interval=20)`}, node: [2]string{`new Server(http)`, `new Server(http, { pingInterval: 20000 })`}},
	{name: "no upgrades", flask: [2]string{`SocketIO(app)`, `SocketIO(app, allow_upgrades=False)`}, node: [2]string{`new Server(http)`, `new Server(http, { allowUpgrades: false })`},
		never: "the recording has only WebSocket, and no upgrade"},
	{name: "compression of messages", flask: [2]string{`SocketIO(app)`, `SocketIO(app, http_compression=False)`}, node: [2]string{`new Server(http)`, `new Server(http, { perMessageDeflate: true })`},
		never: "extensions of a WebSocket are not compared"},
	{name: "the order of keys", flask: [2]string{`emit("liked", {"id": data["id"], "count": likes[data["id"]]}`, `emit("liked", {"count": likes[data["id"]], "id": data["id"]}`}, node: [2]string{`{ id: data.id, count: likes.get(data.id) }`, `{ count: likes.get(data.id), id: data.id }`},
		never: "JSON is compared as JSON"},
	{name: "a reply 0.3 s later", flask: [2]string{`    return {"users": len(users)`, `        socketio.sleep(0.3); return {"users": len(users)`}, node: [2]string{`(ack) => ack({ users: users.size, messages })`, `(ack) => setTimeout(() => ack({ users: users.size, messages }), 300)`},
		never: "within -patience; the report has the delay"},
}

// A replay finds each change of the sample chat, on both kinds of server, unless FORMAT.md
// says that it is not compared. The table that this test writes has the differences that
// it reports. Without SOAK, each change is tested on one of the two kinds of server, in
// turn.
func TestEachChangeIsFound(t *testing.T) {
	t.Parallel()
	needSamples(t)
	table := results.New(t, "siotape-changes", "change of the chat", "recorded on Flask, replayed on changed Flask", "recorded on Node, replayed on changed Node")
	t.Run("on", func(t *testing.T) {
		for i, c := range changes {
			t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				row := []any{c.name}
				for n, k := range kinds {
					if !harness.Soak() && i%2 != n {
						row = append(row, "not tested")
						continue
					}
					edit := c.flask
					if k == node {
						edit = c.node
					}
					code, out := replayChat(t, chat(t, k, edit[0], edit[1]), recordedOnce[k](t))
					row = append(row, c.found(t, k, code, out))
				}
				table.Row(row...)
			})
		}
	})
}

var headline = regexp.MustCompile(`(?m)^(?:line \d+|at the end), [^:]*: (.*)$`)

// found checks the output of a replay, and returns the headline of the difference.
func (c change) found(t *testing.T, k kind, code int, out string) string {
	t.Helper()
	if c.never != "" {
		if code != exitSame {
			t.Errorf("%s: exit code %d for what is not compared:\n%s", k.name, code, out)
		}
		return "not compared: " + c.never
	}
	m := headline.FindStringSubmatch(out)
	if code != exitDifferent || m == nil {
		t.Errorf("%s: exit code %d, not found:\n%s", k.name, code, out)
		return fmt.Sprintf("exit code %d", code)
	}
	return m[1]
}
