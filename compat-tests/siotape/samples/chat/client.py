"""Two people in the chat: what client.js does, in less, with the Python client.

    python3 client.py URL [polling|websocket|upgrade]
"""
import os
import sys
import threading
import time

import socketio

url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:5001"
kind = sys.argv[2] if len(sys.argv) > 2 else "upgrade"
transports = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}[kind]


def person(name):
    client = socketio.Client(reconnection=False)
    client.on("question", lambda question: 42)
    client.connect(url, transports=transports)
    time.sleep(0.12)
    ask(client, "hello", {"name": name})
    ask(client, "join", {"room": "lobby"})
    return client


def ask(client, event, data):
    answer = client.call(event, data)
    time.sleep(0.12)
    return answer


def tell(client, event, data, listener, comes):
    """Sends an event without an ack, and waits for its effects."""
    heard = threading.Event()
    listener.on(comes, lambda data: heard.set())
    client.emit(event, data)
    heard.wait(30)
    time.sleep(0.12)


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
left.wait(30)
ann.disconnect()
time.sleep(0.12)
os._exit(0)  # the client's threads do not always end
