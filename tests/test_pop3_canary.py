"""No credential leaves a POP3 session: every way to send one, to a server that quotes it, and a search."""

from __future__ import annotations

import logging
import socketserver
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler

from sessionspan import handler_session, own, settings
from sessionspan.cli.doctor.canary_pop3 import Careless, serve
from sessionspan.cli.doctor.canary_ways import DERIVED, STAMP, pop3
from sessionspan.testing import Recorder
from tests.canary import found_in
from tests.exported import Exported
from tests.kit_crowd import Client
from tests.kit_servers import serving, streams

SECRET = b"CanaryPassw0rd-7f3a/?=x"
SECRETS = [SECRET, *(derive(SECRET) for derive in DERIVED)]
WAYS = pop3(SECRET)


class Handler(socketserver.StreamRequestHandler):
    """The careless server on socketserver."""

    def handle(self) -> None:
        careless = Careless()
        self.wfile.write(careless.greeting)
        for line in self.rfile:
            self.wfile.write(careless.answer(line))
            if line.strip().upper() == b"QUIT":
                return


SERVERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "asyncio": lambda: streams(serve),
    "socketserver": lambda: serving(handler_session("pop3")(type("Of", (Handler,), {}))),
}


@pytest.fixture
def exported(recorder: Recorder) -> Iterator[Exported]:
    """All of the process's logging at DEBUG goes to OTel, as with opentelemetry-instrumentation-logging."""
    kept = Exported()
    recorder.logger_provider.add_log_record_processor(kept)
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)
    own.SCOPE.unbind()


def speak(port: int, way: str) -> list[bytes]:
    """What the server answered, once for each line at least."""
    client = Client(port)
    answers = []
    for lines in WAYS[way]:
        client.socket.sendall(lines + b"\r\n")
        answers += [client.file.readline() for _ in lines.split(b"\r\n")]
    client.command(b"*", b"+OK", b"-ERR")  # of an exchange that waits for more
    client.command(b"QUIT", b"+OK")
    client.goes(resets=False)
    return answers


LEVELS = {
    "metadata": {"CAPTURE": "metadata"},
    "content": {"CAPTURE": "content"},
    "interactions": {"CAPTURE": "content", "INTERACTIONS": "on"},
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("way", WAYS)
def test_no_credential_leaves(
    recorder: Recorder, exported: Exported, way: str, kind: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LEVELS[level].items():
        monkeypatch.setenv(f"SESSIONSPAN_{name}", value)
    settings.reload()
    with SERVERS[kind]() as server:
        answers = speak(server.port, way)
        recorder.wait_for_session()
    assert all(answers)
    logging.getLogger("shop").debug("a line of the application")
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    assert b"session.end" in wire  # the haystack is the real one
    assert b"a line of the application" in wire
    assert bool(recorder.named("interaction")) == (level == "interactions")
    assert found_in(wire, SECRETS) == []
    assert found_in(recorder.everything().encode(), SECRETS) == []


MECHANISMS = {
    "PLAIN": "PLAIN",
    "LOGIN": "LOGIN",
    "CRAM-MD5": "CRAM-MD5",
    "a bearer token": "XOAUTH2",
    "APOP": "APOP",
    "PASS": None,
}


@pytest.mark.parametrize("way", [way for way in WAYS if way.endswith(", accepted")] + ["a bearer token"])
def test_who_was_let_in_is_known_all_the_same(recorder: Recorder, exported: Exported, way: str) -> None:
    with streams(serve) as server:
        speak(server.port, way)
        attributes = recorder.wait_for_session().attributes or {}
    (success,) = recorder.named("auth.success")
    assert success.attributes.get("sessionspan.auth.mechanism") == MECHANISMS[way.partition(",")[0]]
    assert attributes["user.name"] == "alice"


def test_the_server_quotes_what_it_is_sent_or_the_search_would_find_nothing() -> None:
    careless = Careless()
    assert STAMP in careless.greeting
    careless.answer(b"USER bob\r\n")
    assert SECRET in careless.answer(b"PASS " + SECRET + b"\r\n")
    assert SECRET in careless.answer(SECRET + b"\r\n")
