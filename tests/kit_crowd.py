"""A crowd: 100 POP3 and 100 IMAP clients at once, every fifth of them reset; and what is to be told of it."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from sessionspan import live
from sessionspan.session import Session
from sessionspan.testing import Recorder

SIZE = 100  # clients of each protocol
PATIENCE = 60.0  # seconds; a bound against hanging, never a measurement


class Client:
    """Speaks raw lines."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")
        self.file.readline()

    def command(self, line: bytes, *ends: bytes) -> bytes:
        """Send *line*; the line of the answer that begins with one of *ends*."""
        self.socket.sendall(line + b"\r\n")
        while not (answer := self.file.readline()).startswith(ends) and answer:
            pass
        return answer

    def goes(self, resets: bool) -> None:
        if resets:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()


def _pop3(client: Client, number: int, together: threading.Barrier, user: bytes, password: bytes) -> None:
    client.command(b"USER pop3-%d" % number, b"+OK")
    client.command(b"PASS wrong", b"-ERR")
    together.wait(PATIENCE)
    client.command(b"USER " + user, b"+OK")
    assert client.command(b"PASS " + password, b"+OK", b"-ERR").startswith(b"+OK")
    for _ in range(number % 7):
        client.command(b"NOOP", b"+OK")
    if number % 5:
        client.command(b"QUIT", b"+OK")


def _imap(client: Client, number: int, together: threading.Barrier, user: bytes, password: bytes) -> None:
    client.command(b"a LOGIN imap-%d wrong" % number, b"a ")
    together.wait(PATIENCE)
    login = b"b LOGIN %b {%d+}\r\n%b" % (user, len(password), password)
    assert client.command(login, b"b ").startswith(b"b OK")
    for _ in range(number % 7):
        client.command(b"c NOOP", b"c ")
    if number % 5:
        client.command(b"d LOGOUT", b"d ")


def speak(pop3: int, imap: int, recorder: Recorder, user: str = "alice", password: str = "secret") -> None:
    """All of them, on these two ports."""
    together = threading.Barrier(2 * SIZE)

    def one(place: tuple[int, Any, int]) -> None:
        number, dialogue, port = place
        client = Client(port)
        dialogue(client, number, together, user.encode(), password.encode())
        client.goes(resets=not number % 5)

    places = [
        (number, dialogue, port) for number in range(SIZE) for dialogue, port in ((_pop3, pop3), (_imap, imap))
    ]
    with ThreadPoolExecutor(2 * SIZE) as pool:
        list(pool.map(one, places))
    recorder.wait_for_sessions(2 * SIZE, PATIENCE)


def check(recorder: Recorder, user: str = "alice") -> None:
    """One span each, and what is told in it is its own."""
    assert len(recorder.sessions) == 2 * SIZE
    assert len({(span.attributes or {})["session_id"] for span in recorder.sessions}) == 2 * SIZE
    seen = {_check_one(recorder, span, user) for span in recorder.sessions}
    assert seen == {f"{protocol}-{number}" for protocol in ("pop3", "imap") for number in range(SIZE)}
    told = {event.session_id for event in recorder.events}
    assert told == {(span.attributes or {})["session_id"] for span in recorder.sessions}


def _check_one(recorder: Recorder, span: ReadableSpan, user: str) -> str:
    attributes = dict(span.attributes or {})
    events = recorder.of(span)
    (failure,) = [event for event in events if event.name == "auth.failure"]
    who = str(failure["sessionspan.auth.user.name"])
    protocol, _, number = who.partition("-")
    resets = not int(number) % 5
    assert (span.name, attributes["network.protocol.name"]) == (f"{protocol.upper()} session", protocol)
    assert attributes["sessionspan.end_reason"] == ("peer_reset" if resets else "quit")
    assert attributes["user.name"] == user
    assert span.context is not None
    assert {event.trace_id for event in events} == {f"{span.context.trace_id:032x}"}
    assert {event.span_id for event in events} == {f"{span.context.span_id:016x}"}
    assert {event["client.port"] for event in events} == {attributes["client.port"]}
    assert {event.attributes.get("user.name", user) for event in events} == {user}
    login = {"pop3": ["USER", "PASS"], "imap": ["LOGIN"]}[protocol]
    goodbye = [] if resets else [{"pop3": "QUIT", "imap": "LOGOUT"}[protocol]]
    names = [event["sessionspan.command.name"] for event in events if event.name == "command"]
    assert names == [*login, *login, *["NOOP"] * (int(number) % 7), *goodbye]
    return who


def check_nothing_is_left(recorder: Recorder) -> None:
    """No session is open, none is held by anything, and the metrics say so."""
    assert live.open_sessions() == []
    gc.collect()
    told = {(span.attributes or {})["session_id"] for span in recorder.sessions}
    held = [each for each in gc.get_objects() if isinstance(each, Session)]
    assert [repr(each) for each in held if each.id in told] == []
    active = recorder.points("sessionspan.session.active")
    assert active
    assert set(active.values()) == {0}
    assert sum(recorder.points("sessionspan.session.duration").values()) == 2 * SIZE
    failed = {
        key: n for key, n in recorder.points("sessionspan.auth.attempts").items() if "error.type" in dict(key)
    }
    assert sum(failed.values()) == 2 * SIZE
