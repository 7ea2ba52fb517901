"""The original's client, written anew from what was observed of it.

The original has two identical files, client1.py and client2.py; this is both.
It is told which of the two it is by the server. Like server.py it keeps the
original's faults: it never waits for an answer, and after a reconnect it goes
on from its own number, whatever the server says.

Environment:
  SERVER_URL   the server, a query is kept (http://localhost:5000)
  COUNT_SLEEP  pause after a number of its own, in seconds (1)
  STEP_SLEEP   pause after each step, and while the game stands (0.1)
  LIMIT        the number at which it leaves (2000)
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
    # In one piece: handlers run, and print, in threads of their own.
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
    if number is None:  # no client_assigned before "40"
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
