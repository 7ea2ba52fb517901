"""A stand-in for the original's server, written from its observed behavior.

It has the same events in the same order, the same output and the same faults as
the app that this project replaces. Do not fix the faults: the game is only in
memory, numbers.txt is never read, and numbers are not checked.

Environment:
  HOST        address to listen on (0.0.0.0)
  PORT        port to listen on (5000)
  DATA_DIR    directory of numbers.txt, created if missing (data)
  ASYNC_MODE  eventlet or threading (eventlet)
"""
import os

ASYNC_MODE = os.environ.get("ASYNC_MODE", "eventlet")
if ASYNC_MODE == "eventlet":
    import eventlet

    eventlet.monkey_patch()

from flask import Flask, request
from flask_socketio import SocketIO, emit
from num2words import num2words

DATA_DIR = os.environ.get("DATA_DIR", "data")
NUMBERS = os.path.join(DATA_DIR, "numbers.txt")

app = Flask(__name__)
socketio = SocketIO(app, cors_allowed_origins="*", async_mode=ASYNC_MODE)

seats = {}  # Socket.IO session id -> "client1" or "client2"
last_numbers = {"client1": 1, "client2": 2}  # what each client sends next


def say(line):
    print(line, flush=True)


@app.route("/health")
def health():
    return "OK"


@socketio.on("connect")
def handle_connect():
    free = [c for c in ("client1", "client2") if c not in seats.values()]
    if not free:
        say("More than 2 clients attempted to connect, rejecting connection.")
        return  # the client is not rejected, as a "return False" is missing
    client_id = seats[request.sid] = free[0]
    say(f"Client {client_id} connected and assigned.")
    emit("client_assigned", {"client_id": client_id, "last_number": last_numbers[client_id]})
    if len(seats) == 2:
        emit("start_game", broadcast=True)


@socketio.on("disconnect")
def handle_disconnect():
    client_id = seats.pop(request.sid, None)
    if client_id is not None:
        say(f"Client {client_id} disconnected.")
    if len(seats) < 2:
        say("Waiting for another client to connect...")
        emit("stop_game", broadcast=True)


@socketio.on("number")
def handle_number(data):
    client_id, number = data["client_id"], data["number"]
    last_numbers[client_id] = number + 2
    words = num2words(number)
    with open(NUMBERS, "a") as f:
        f.write(words + "\n")
    say(f"Received {words} from {client_id}")


if __name__ == "__main__":
    os.makedirs(DATA_DIR, exist_ok=True)
    say("Server starting...")
    # Werkzeug requires this argument; eventlet does not accept it.
    extra = {"allow_unsafe_werkzeug": True} if ASYNC_MODE == "threading" else {}
    socketio.run(
        app,
        host=os.environ.get("HOST", "0.0.0.0"),
        port=int(os.environ.get("PORT", "5000")),
        **extra,
    )
