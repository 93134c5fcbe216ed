"""Evil POP3 and IMAP clients of servers that people wrote themselves: they get what they got, and bounds hold."""

from __future__ import annotations

import asyncio
import base64
import functools
import socket
import socketserver
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

import sessionspan
from sessionspan import handler_session, own, settings, stream_session
from sessionspan.protocols.lines import HELD_LIMIT
from sessionspan.tally import VITAL_EVENTS
from sessionspan.testing import Recorder
from tests import kit_evil
from tests.kit_crowd import Client
from tests.kit_evil import MEBI, PATIENCE, converse
from tests.kit_imap import IMAPHandler, serve_imap
from tests.kit_servers import BarePOP3Handler, POP3Handler, serve_pop3, serving, streams


@pytest.fixture(autouse=True)
def recorded(recorder: Recorder) -> Iterator[None]:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    yield
    own.SCOPE.unbind()


def on_asyncio(protocol: str, callback: Any, ours: bool) -> AbstractContextManager[Any]:
    return streams(stream_session(protocol)(callback) if ours else callback)


def on_socketserver(protocol: str, handler: Any, ours: bool) -> AbstractContextManager[Any]:
    of_its_own = type(handler.__name__, (handler,), {})
    return serving(handler_session(protocol)(of_its_own) if ours else of_its_own)


SERVERS: dict[str, tuple[str, Callable[[bool], AbstractContextManager[Any]]]] = {
    "POP3, asyncio": ("pop3", functools.partial(on_asyncio, "pop3", serve_pop3)),
    "POP3, socketserver": ("pop3", functools.partial(on_socketserver, "pop3", POP3Handler)),
    "POP3, bare sockets": ("pop3", functools.partial(on_socketserver, "pop3", BarePOP3Handler)),
    "IMAP, asyncio": ("imap", functools.partial(on_asyncio, "imap", serve_imap)),
    "IMAP, socketserver": ("imap", functools.partial(on_socketserver, "imap", IMAPHandler)),
}
EVILS = {"pop3": kit_evil.POP3, "imap": kit_evil.IMAP}
RUNS = [(kind, evil) for kind, (protocol, _) in SERVERS.items() for evil in EVILS[protocol]]


@pytest.mark.parametrize(("kind", "evil"), RUNS)
def test_an_evil_client_gets_what_it_would_get_without_us(kind: str, evil: str, recorder: Recorder) -> None:
    protocol, server_of = SERVERS[kind]
    said = EVILS[protocol][evil]
    with server_of(False) as bare:
        expected = converse(bare.port, said)
    with server_of(True) as ours:
        assert converse(ours.port, said) == expected
        span = recorder.wait_for_session()
    assert [type(error) for error in ours.errors] == [type(error) for error in bare.errors]
    attributes = dict(span.attributes or {})
    assert attributes["sessionspan.sent.size"] == len(expected)
    assert recorder.transcript()[0] == "session.start"
    assert recorder.transcript()[-1] == "session.end"
    assert "\x1b" not in recorder.everything()
    # A server that raises for what a client sends has raised, and nothing else is an error.
    assert (span.status.status_code is StatusCode.ERROR) == (attributes["sessionspan.outcome"] == "error")
    assert not bare.errors or attributes["sessionspan.outcome"] == "error"


@pytest.mark.parametrize(("kind", "evil"), RUNS)
def test_an_evil_client_that_resets_is_one_session(kind: str, evil: str, recorder: Recorder) -> None:
    protocol, server_of = SERVERS[kind]
    with server_of(True) as server:
        converse(server.port, EVILS[protocol][evil], resets=True)
        recorder.wait_for_session()
    assert recorder.transcript()[0] == "session.start"
    assert recorder.transcript()[-1] == "session.end"


# Memory is bounded by us, not by the peer: a server that takes whatever comes, and keeps and answers nothing.


class Swallows(socketserver.BaseRequestHandler):
    """Takes all there is, in a thread."""

    taken = 0

    def handle(self) -> None:
        self.request.sendall(b"* OK +OK 220 go on\r\n")
        while data := self.request.recv(65536):
            type(self).taken += len(data)


class Swallowing:
    """The same on asyncio."""

    taken = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK +OK 220 go on\r\n")
        while data := await reader.read(65536):
            self.taken += len(data)
        writer.close()


def held_by_us() -> int:
    """Bytes that were allocated in our code, or in what it calls."""
    here = str(Path(sessionspan.__file__).parent / "*")
    ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, here)])
    return sum(each.size for each in ours.statistics("filename"))


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "an endless line": lambda: iter([b"A" * MEBI] * 16),
    "endless lines": lambda: iter([(b"1 NOOP " + b"x" * 60_000 + b"\r\n") * 17] * 16),
    "a huge literal": lambda: iter([b"1 APPEND x {999999999999+}\r\n", *[b"x" * MEBI] * 16]),
    "a login that is a huge literal": lambda: iter([b"1 LOGIN {999999999999+}\r\n", *[b"x" * MEBI] * 16]),
    "commands without an answer": lambda: iter([b"NOOP\r\n1 NOOP\r\n" * 2_000] * 2),
    "logins without an answer": lambda: iter([b"USER a\r\nPASS b\r\n1 LOGIN a b\r\n" * 1_000] * 2),
    "an exchange without an answer": lambda: iter(
        [b"AUTH PLAIN\r\n1 AUTHENTICATE PLAIN\r\n", *[b"A\r\n" * 20_000] * 2]
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("protocol", ["pop3", "imap", "smtp", "ftp"])
@pytest.mark.parametrize("kind", ["asyncio", "socketserver"])
def test_a_flood_that_is_not_answered_fills_no_memory(
    kind: str, protocol: str, flood: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_MAX_EVENTS", "10")
    settings.reload()
    total = sum(map(len, FLOODS[flood]()))
    swallowing: Any = Swallowing() if kind == "asyncio" else type("Of", (Swallows,), {})
    made: Any
    if kind == "asyncio":
        made = on_asyncio(protocol, swallowing.serve, True)
    else:
        made = serving(handler_session(protocol)(swallowing))
    with made as server, socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
        client.recv(100)
        tracemalloc.start()
        try:
            before = held_by_us()
            for piece in FLOODS[flood]():
                client.sendall(piece)
            while swallowing.taken < total:
                threading.Event().wait(0.01)
            held = held_by_us() - before
        finally:
            tracemalloc.stop()
    # The recorder of the test keeps what has been told, and a pending command is a small object.
    told = sum(len(repr(event.attributes)) * 4 for event in recorder.events)
    assert held < 8 * HELD_LIMIT + told


# A million failed logins, on the scale of a test.

ATTEMPTS = VITAL_EVENTS + 2000
GUESSES: dict[str, tuple[Any, bytes, bytes]] = {
    "pop3": (serve_pop3, b"AUTH PLAIN " + base64.b64encode(b"\0root\0guess") + b"\r\n", b"-ERR"),
    "imap": (serve_imap, b"1 LOGIN root guess\r\n", b"1 NO"),
}


@pytest.mark.parametrize("protocol", GUESSES)
def test_guessing_without_end_is_counted_and_hides_nothing(
    protocol: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_MAX_EVENTS", "100")
    settings.reload()
    callback, guess, refusal = GUESSES[protocol]
    with streams(stream_session(protocol)(callback)) as server:
        client = Client(server.port)
        for _ in range(ATTEMPTS // 500):
            client.socket.sendall(guess * 500)
            for _ in range(500):
                assert client.file.readline().startswith(refusal)
        if protocol == "pop3":
            client.command(b"USER alice", b"+OK")
            client.command(b"PASS secret", b"+OK")
        else:
            client.command(b"2 LOGIN alice secret", b"2 ")
        client.goes(resets=False)
        span = recorder.wait_for_session(PATIENCE)
    attributes = dict(span.attributes or {})
    assert len(recorder.named("auth.failure")) == VITAL_EVENTS
    assert len(recorder.named("command")) == 100
    assert [event["user.name"] for event in recorder.named("auth.success")] == ["alice"]
    assert attributes["sessionspan.auth.attempt.count"] == ATTEMPTS + 1
    assert attributes["sessionspan.event.count"] == len(recorder.events)
    commands = ATTEMPTS + (2 if protocol == "pop3" else 1)
    assert attributes["sessionspan.event.dropped.count"] == ATTEMPTS - VITAL_EVENTS + commands - 100
    assert len(span.events) <= 128
    attempts = recorder.points("sessionspan.auth.attempts")
    assert sum(attempts.values()) == ATTEMPTS + 1
    assert len(attempts) < 50  # series, whatever was tried
    dropped = recorder.points("sessionspan.telemetry.dropped")
    assert sum(dropped.values()) == attributes["sessionspan.event.dropped.count"]
