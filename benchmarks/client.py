"""The client of the benchmarks: plain sockets, one command after the other, in the benchmark's own process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from benchmarks.dialogues import SMTP, Dialogue, Step


class Client:
    """One connection to the server under test."""

    def __init__(self, port: int, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer(Step(b"", dialogue.greeting))

    def say(self, step: Step) -> None:
        """Send a command; the server must answer as expected."""
        self._socket.sendall(step.command)
        self._answer(step)

    def _answer(self, step: Step) -> None:
        received = b""
        while not self._dialogue.is_whole(received, step):
            data = self._socket.recv(8192)
            if not data:
                raise ConnectionError(f"the server closed the connection instead of saying {step.expected!r}")
            received += data
        if not received.splitlines()[-1].startswith(step.expected):
            raise ConnectionError(f"the server said {received!r} instead of {step.expected!r}")

    def close(self) -> None:
        """Wait until the server has closed the connection, after the goodbye, then close ours."""
        with self._socket:
            while self._socket.recv(4096):
                pass

    def drop(self) -> None:
        """Close the connection without a word."""
        self._socket.close()


def run_sessions(port: int, count: int, dialogue: Dialogue) -> None:
    """Hold *count* sessions, one after the other."""
    for _ in range(count):
        client = Client(port, dialogue)
        for step in dialogue.steps:
            client.say(step)
        client.close()


@contextlib.contextmanager
def idle_sessions(port: int) -> Iterator[list[Client]]:
    """A list to fill with sessions that have said EHLO and nothing since; all are dropped at the end."""
    clients: list[Client] = []
    try:
        yield clients
    finally:
        for client in clients:
            client.drop()


def greet(port: int) -> Client:
    """A session that has said EHLO."""
    client = Client(port, SMTP)
    client.say(SMTP.steps[0])
    return client
