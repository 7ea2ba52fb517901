"""A stand-in for the original's client, written from its observed behavior.

The original has two identical files, client1.py and client2.py. The server assigns
the seat. Like server.py it has the original's faults: it does not wait for acks, and
after a reconnection it continues from its own number, whatever the server assigns.

Environment:
  SERVER_URL   URL of the server, with an optional query (http://localhost:5000)
  COUNT_SLEEP  pause after one of its numbers, in seconds (1)
  STEP_SLEEP   pause after each step, and while the game is stopped, in seconds (0.1)
  LIMIT        the number at which it exits (2000)
"""
import os
import time

import socketio
from num2words import num2words

SERVER_URL = os.environ.get("SERVER_URL", "http://localhost:5000")
COUNT_SLEEP = float(os.environ.get("COUNT_SLEEP", "1"))
STEP_SLEEP = float(os.environ.get("STEP_SLEEP", "0.1"))
LIMIT = int(os.environ.get("LIMIT", "2000"))

sio = socketio.Client()


class State:
    client_id = None
    last_number = None
    running = False


def say(line):
    # In one write, as handlers print in other threads.
    print(line + "\n", end="", flush=True)


@sio.event
def connect():
    say("Connected to server!")


@sio.event
def disconnect():
    say("Disconnected from server!")
    State.running = False


@sio.on("client_assigned")
def client_assigned(data):
    State.client_id, State.last_number = data["client_id"], data["last_number"]
    say(f"Assigned as {State.client_id}, resuming from {State.last_number}")


@sio.on("start_game")
def start_game():
    say("Game starting!")
    State.running = True


@sio.on("stop_game")
def stop_game():
    say("Game stopped!")
    State.running = False


def is_my_turn(number):
    parity = {"client1": 1, "client2": 0}
    return number % 2 == parity.get(State.client_id)


def count():
    number = State.last_number
    if number is None:  # "40" came before client_assigned
        number = 1 if State.client_id == "client1" else 2
    while True:
        while State.running:
            if is_my_turn(number):
                say(f"{State.client_id} counting: {num2words(number)}")
                sio.emit("number", {"client_id": State.client_id, "number": number})
                time.sleep(COUNT_SLEEP)
            if number >= LIMIT:
                sio.disconnect()
                return
            number += 1
            time.sleep(STEP_SLEEP)
        time.sleep(STEP_SLEEP)


if __name__ == "__main__":
    try:
        sio.connect(SERVER_URL)
        count()
    except Exception as e:
        say(f"Error: {e}")
