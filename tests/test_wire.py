"""The wire and the tap: what is held back changes nothing of what is told, and streams are as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionspan import own, stream_session
from sessionspan.events import Command, Event, MailReception
from sessionspan.protocols.smtp import SMTPObserver
from sessionspan.scope import Scope
from sessionspan.session import Session
from sessionspan.taps import _HELD, _SHORT, Wire, tap_streams, untap_streams
from sessionspan.testing import Recorder
from sessionspan.wrappers import whole_session

LINE = b"The quick brown fox.\r\n"
BEFORE = (
    ("S", b"220 mx\r\n"),
    ("C", b"EHLO c\r\n"),
    ("S", b"250 mx\r\n"),
    ("C", b"MAIL FROM:<a@x.test>\r\n"),
    ("S", b"250 OK\r\n"),
    ("C", b"RCPT TO:<b@x.test>\r\n"),
    ("S", b"250 OK\r\n"),
    ("C", b"DATA\r\n"),
    ("S", b"354 go\r\n"),
)


class Clock:
    """A clock that goes on by a second with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


class Heard(SMTPObserver):
    """An observer that notes how the client's bytes come to it."""

    __slots__ = ("pieces", "said")

    def __init__(self) -> None:
        super().__init__(lockstep=True, clock=Clock())
        self.pieces: list[bytes] = []
        self.said: list[Event] = []

    def client_sent(self, data: bytes) -> Sequence[Event]:
        self.pieces.append(data)
        return self._noted(super().client_sent(data))

    def server_sent(self, data: bytes) -> Sequence[Event]:
        return self._noted(super().server_sent(data))

    def finish(self) -> Sequence[Event]:
        return self._noted(super().finish())

    def _noted(self, events: Sequence[Event]) -> Sequence[Event]:
        self.said += events
        return events


@pytest.fixture
def spoken(recorder: Recorder) -> Any:
    scope = Scope("test")
    scope.bind(recorder.tracer_provider, recorder.logger_provider)
    session = Session(scope, "SMTP")
    session.start()
    yield session
    session.end()


def hear(session: Session, dialogue: Sequence[tuple[str, bytes]]) -> tuple[Wire, Heard]:
    observer = Heard()
    wire = Wire(session, observer)
    for side, data in dialogue:
        (wire.client if side == "C" else wire.server)(data)
    return wire, observer


def told_directly(dialogue: Sequence[tuple[str, bytes]]) -> Heard:
    observer = Heard()
    for side, data in dialogue:
        (observer.client_sent if side == "C" else observer.server_sent)(data)
    return observer


_LINES = st.lists(
    st.sampled_from((LINE, b"\r\n", b"..\r\n", b"..x\r\n", b"no end", b"y" * _SHORT + b"\r\n", b"", b".", b"\n")),
    max_size=3 * _HELD,
)


@given(_LINES, st.booleans())
def test_a_message_is_told_as_if_each_line_had_been(lines: list[bytes], dotted: bool) -> None:
    dialogue = (
        *BEFORE,
        *(("C", line) for line in lines),
        *((("C", b".\r\n"),) if dotted else ()),
        ("S", b"250 OK\r\n"),
    )
    # In a context of its own: a session without a scope never starts, and becomes the current one.
    _, heard = copy_context().run(hear, Session(Scope("test"), "SMTP"), dialogue)
    directly = told_directly(dialogue)
    assert b"".join(heard.pieces) == b"".join(directly.pieces)
    assert [type(event) for event in heard.said] == [type(event) for event in directly.said]
    received, expected = ([e for e in each.said if isinstance(e, MailReception)] for each in (heard, directly))
    assert [e.size for e in received] == [e.size for e in expected]
    assert [e.recipients for e in received] == [e.recipients for e in expected]


def test_lines_of_content_are_told_some_at_a_time(spoken: Session) -> None:
    _, heard = hear(spoken, (*BEFORE, *(("C", LINE),) * 40, ("C", b".\r\n"), ("S", b"250 OK\r\n")))
    content = heard.pieces[4:]
    assert [len(piece) // len(LINE) for piece in content] == [_HELD + 1, _HELD + 1, 40 - 2 * (_HELD + 1)]
    assert content[-1].endswith(b"\r\n.\r\n")


def test_what_is_held_back_is_bounded(spoken: Session) -> None:
    wire, _ = hear(spoken, BEFORE)
    for size in (10, _SHORT, _SHORT + 1, 60_000):
        for _ in range(100):
            wire.client(b"x" * size + b"\r\n")
            held = wire._held or []
            assert len(held) <= _HELD
            assert all(len(line) <= _SHORT for line in held)


def test_the_clock_of_a_message_starts_with_its_final_dot(spoken: Session) -> None:
    _, heard = hear(spoken, (*BEFORE, *(("C", LINE),) * 5, ("C", b".\r\n"), ("S", b"250 OK\r\n")))
    data = next(event for event in heard.said if isinstance(event, Command) and event.command == "DATA")
    assert data.duration == 2  # one tick from DATA to 354, one from the dot to the reply


def test_content_without_an_end_is_counted_when_the_session_ends(recorder: Recorder, spoken: Session) -> None:
    hear(spoken, (*BEFORE, *(("C", LINE),) * 5))
    spoken.end("peer_eof")
    attributes = recorder.spans[0].attributes or {}
    sent = sum(len(data) for side, data in BEFORE if side == "C") + 5 * len(LINE)
    assert attributes["sessionspan.received.size"] == sent
    assert attributes["sessionspan.outcome"] == "aborted"


def test_a_command_behind_a_message_is_not_held_back(spoken: Session) -> None:
    dialogue = (*BEFORE, ("C", LINE), ("C", b".\r\n"), ("C", b"QUIT\r\n"))
    wire, heard = hear(spoken, dialogue)
    assert heard.pieces[-1] == b"QUIT\r\n"
    assert wire._held is None


class Sink:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def test_a_function_that_somebody_put_on_one_stream_is_called_heard_and_put_back(spoken: Session) -> None:
    async def tapped() -> tuple[bytes, bytes, bool]:
        own, plain, sink = asyncio.StreamReader(), asyncio.StreamReader(), Sink()
        own.feed_data(b"one\ntwo\n")
        plain.feed_data(b"three\n")
        theirs = own.readuntil

        async def shouted(separator: bytes = b"\n") -> bytes:
            return (await theirs(separator)).upper()

        own.readuntil = shouted  # type: ignore[method-assign,assignment]
        observer = Heard()
        tap_streams(own, sink, Wire(spoken, observer))
        tap_streams(plain, Sink(), Wire(spoken, Heard()))
        found = await own.readuntil(), await plain.readuntil()
        sink.write(b"220 there\r\n")
        untap_streams(own, sink)
        assert observer.pieces == [found[0]]
        assert sink.written == [b"220 there\r\n"]
        assert "write" not in vars(sink)
        return *found, own.readuntil is shouted

    assert asyncio.run(tapped()) == (b"ONE\n", b"three\n", True)


class Delegating:
    """A stream of somebody's own, that hands on what is asked of it."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_stream_that_delegates_goes_on_to_do_so(spoken: Session) -> None:
    reader, first, second = asyncio.StreamReader.__new__(asyncio.StreamReader), Sink(), Sink()
    writer = Delegating(first)
    tap_streams(reader, writer, Wire(spoken, Heard()))
    writer.write(b"220 one\r\n")
    untap_streams(reader, writer)
    writer.inner = second  # as when TLS begins
    writer.write(b"220 two\r\n")
    assert (first.written, second.written) == ([b"220 one\r\n"], [b"220 two\r\n"])


def test_a_callback_leaves_the_reader_as_it_was(recorder: Recorder) -> None:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)
    seen: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def own_read(n: int = -1) -> bytes:
        return b""

    async def main() -> None:
        reader = asyncio.StreamReader()
        reader.read = own_read  # type: ignore[method-assign]
        writer: Any = Delegating(Sink())
        writer.inner.close = lambda: None
        writer.inner.get_extra_info = lambda name, default=None: default
        await stream_session("smtp")(serve)(reader, writer)
        seen.append((reader.read, "readuntil" in vars(reader)))

    asyncio.run(main())
    own.SCOPE.unbind()
    assert seen == [(own_read, False)]
    assert len(recorder.sessions) == 1


def test_an_argument_of_what_serves_may_have_any_name(spoken: Session) -> None:
    class Server:
        async def serve(self, session: int, raised: int) -> tuple[int, int]:
            return session, raised

    wrapped = whole_session(lambda *args, **kwargs: spoken, lambda *args, **kwargs: None)(Server.serve)
    assert asyncio.run(wrapped(Server(), session=1, raised=2)) == (1, 2)
    assert spoken.ended
