"""The client of the benchmarks: plain sockets, one command after the other, in the benchmark's own process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Final

_LINE: Final = b"The quick brown fox jumps over the lazy dog, and the dog says nothing.\r\n"
_HEAD: Final = b"From: <alice@example.org>\r\nTo: <bob@example.net>\r\nSubject: benchmark\r\n\r\n"
MESSAGE: Final = _HEAD + _LINE * ((2048 - len(_HEAD)) // len(_LINE)) + b".\r\n"

# One session; the command that ends the message is the message.
DIALOGUE: Final = (
    (b"EHLO client.example.org\r\n", b"250"),
    (b"MAIL FROM:<alice@example.org>\r\n", b"250"),
    (b"RCPT TO:<bob@example.net>\r\n", b"250"),
    (b"DATA\r\n", b"354"),
    (MESSAGE, b"250"),
    (b"QUIT\r\n", b"221"),
)
EVENTS: Final = 8  # of such a session: start, EHLO, MAIL, RCPT, reception, DATA, QUIT, end


class Client:
    """One connection to the server under test."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer(b"220")

    def say(self, command: bytes, expected: bytes) -> None:
        """Send *command*; the server must answer with the code *expected*."""
        self._socket.sendall(command)
        self._answer(expected)

    def _answer(self, expected: bytes) -> None:
        received = b""
        while not received.endswith(b"\n") or received.splitlines()[-1][3:4] == b"-":
            data = self._socket.recv(4096)
            if not data:
                raise ConnectionError(f"the server closed the connection instead of saying {expected!r}")
            received += data
        if not received.splitlines()[-1].startswith(expected):
            raise ConnectionError(f"the server said {received!r} instead of {expected!r}")

    def close(self) -> None:
        """Wait until the server has closed the connection, after QUIT, then close ours."""
        with self._socket:
            while self._socket.recv(4096):
                pass

    def drop(self) -> None:
        """Close the connection without a word."""
        self._socket.close()


def run_sessions(port: int, count: int) -> None:
    """Hold *count* sessions, one after the other."""
    for _ in range(count):
        client = Client(port)
        for command, expected in DIALOGUE:
            client.say(command, expected)
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
    client = Client(port)
    client.say(*DIALOGUE[0])
    return client
