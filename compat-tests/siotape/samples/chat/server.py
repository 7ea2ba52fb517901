"""A small chat on Flask-SocketIO, with logins, rooms, acks in both directions, files
and a namespace for an admin. server.js is the same app on Node.js.

Environment: PORT (5000); CLIENT, the file of the JavaScript client for the page.
"""
import eventlet  # before anything else

eventlet.monkey_patch()

import os
import time
import uuid

from flask import Flask, Response, jsonify, request
from flask_socketio import ConnectionRefusedError, Namespace, SocketIO, emit, join_room, leave_room, disconnect

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT = os.environ.get("CLIENT", os.path.join(HERE, "../../../javascript/node_modules/socket.io-client/dist/socket.io.min.js"))
PIXEL = bytes.fromhex("89504e470d0a1a0a00ff")

app = Flask(__name__)
socketio = SocketIO(app)

sessions = {}  # token -> name
users = {}  # Socket.IO session id -> name
likes = {}  # message id -> count
messages = 0


@app.route("/")
def page():
    return Response(open(os.path.join(HERE, "page.html"), "rb").read(), mimetype="text/html", headers={"Cache-Control": "no-cache"})


@app.route("/client.js")
def client():
    return Response(open(CLIENT, "rb").read(), mimetype="text/javascript")


@app.route("/login", methods=["POST"])
def login():
    if request.form.get("password") != "open sesame":
        return Response("wrong password", 403, mimetype="text/plain")
    token = uuid.uuid4().hex
    sessions[token] = request.form["name"]
    answer = Response("", 303, mimetype="text/plain", headers={"Location": "/me"})
    answer.set_cookie("session", token, path="/", httponly=True, samesite="Lax")
    answer.set_cookie("theme", "dark", path="/", max_age=3600)
    return answer


@app.route("/me")
def me():
    name = sessions.get(request.cookies.get("session"))
    if name is None:
        return Response("who are you?", 401, mimetype="text/plain")
    answer = jsonify(name=name, now=int(time.time() * 1000))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@app.route("/pixel.png")
def pixel():
    if request.headers.get("If-None-Match") == '"pixel-1"':
        return Response("", 304, headers={"ETag": '"pixel-1"'})
    return Response(PIXEL, mimetype="image/png", headers={"ETag": '"pixel-1"'})


@socketio.on("hello")
def hello(data):
    users[request.sid] = data["name"]
    emit("joined", {"name": data["name"]}, broadcast=True, include_self=False)
    return {"id": request.sid, "users": sorted(users.values())}


@socketio.on("join")
def join(data):
    if data["room"] == "cellar":
        return {"error": "no such room"}
    join_room(data["room"])
    emit("system", {"text": users[request.sid] + " has joined", "room": data["room"]}, to=data["room"])
    return {"room": data["room"]}


@socketio.on("leave")
def leave(data):
    leave_room(data["room"])
    emit("system", {"text": users[request.sid] + " has left", "room": data["room"]}, to=data["room"])
    return {"room": None}


@socketio.on("say")
def say(data):
    global messages
    messages += 1
    id = str(uuid.uuid4())
    likes[id] = 0
    emit("message", {"id": id, "from": users[request.sid], "text": data["text"], "at": int(time.time() * 1000)}, to=data["room"])
    emit("count", messages, to=data["room"])
    return {"id": id}


@socketio.on("like")
def like(data):
    likes[data["id"]] += 1
    emit("liked", {"id": data["id"], "count": likes[data["id"]]}, broadcast=True)


@socketio.on("typing")
def typing(data):
    emit("typing", {"name": users[request.sid]}, to=data["room"], include_self=False)


@socketio.on("quiz")
def quiz(data):
    def answered(answer):
        socketio.emit("answered", {"answer": answer, "right": answer == 42}, to=data["room"])

    emit("question", {"text": "six times seven?"}, callback=answered)


@socketio.on("file")
def file(name, data):
    emit("file", {"name": name, "data": data, "size": len(data)}, broadcast=True, include_self=False)
    return data[::-1]


@socketio.on("bye")
def bye():
    disconnect()


@socketio.on("disconnect")
def gone():
    name = users.pop(request.sid, None)
    if name is not None:
        emit("left", {"name": name}, broadcast=True, include_self=False)


class Admin(Namespace):
    def on_connect(self, auth):
        if not auth or auth.get("password") != "secret":
            raise ConnectionRefusedError("wrong password", {"retry": 3})

    def on_stats(self):
        return {"users": len(users), "messages": messages}

    def on_shout(self, text):
        emit("shouted", text, namespace="/", broadcast=True)


socketio.on_namespace(Admin("/admin"))

if __name__ == "__main__":
    socketio.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "5000")))
