"""Two people in the chat: what client.js does, in less, with the Python client.

    python3 client.py URL [polling|websocket|upgrade]
"""
import os
import sys
import threading
import time
import traceback

import socketio

url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:5001"
kind = sys.argv[2] if len(sys.argv) > 2 else "upgrade"
transports = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}[kind]


def person(name):
    client = socketio.Client(reconnection=False)
    client.on("question", lambda question: 42)
    client.connect(url, transports=transports, wait_timeout=30)
    time.sleep(0.12)
    ask(client, "hello", {"name": name})
    ask(client, "join", {"room": "lobby"})
    return client


def ask(client, event, data):
    answer = client.call(event, data)
    time.sleep(0.12)
    return answer


def wait(heard, event):
    if not heard.wait(60):
        raise TimeoutError(event + " did not come within 60 s")


def tell(client, event, data, listener, comes):
    """Sends an event without an ack, and waits for its effects."""
    heard = threading.Event()
    listener.on(comes, lambda data: heard.set())
    client.emit(event, data)
    wait(heard, comes)
    time.sleep(0.12)


def talk():
    ann, bob = person("ann"), person("bob")
    id = ask(ann, "say", {"room": "lobby", "text": "good morning ☀"})["id"]
    ask(bob, "say", {"room": "lobby", "text": "hello, ann"})
    tell(bob, "like", {"id": id}, ann, "liked")
    tell(ann, "typing", {"room": "lobby"}, bob, "typing")
    tell(bob, "quiz", {"room": "lobby"}, ann, "answered")
    ask(ann, "file", ("kana.bin", "カナ".encode()))
    ask(bob, "leave", {"room": "lobby"})
    left = threading.Event()
    ann.on("left", lambda data: left.set())
    bob.disconnect()
    wait(left, "left")
    ann.disconnect()
    time.sleep(0.12)


# The threads of a client keep the process alive as long as it is connected, also after
# an error.
try:
    talk()
except BaseException:
    traceback.print_exc()
    os._exit(1)
os._exit(0)
