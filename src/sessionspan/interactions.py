"""Interactions, for honeypots: what a client sent until it was answered, and the answer. Off unless asked for.

`Interactions` stands between a `Wire` and its observer, so sessions cost nothing more where the setting is off.
Text is told at capture level ``content`` only. Where there is an observer, it is what the observer lets out in
its commands, which no credential ever is; where there is none, the bytes as they were, but for what looks like a
login (`free_text`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol, TypedDict

from sessionspan import free_text
from sessionspan.events import Command, Event, Interaction
from sessionspan.protocols import Observer
from sessionspan.session import Session
from sessionspan.settings import settings

TEXT_LIMIT: Final = 4096  # bytes of an input and of an output that are kept; their sizes tell the rest


def observed(session: Session, observer: Observer) -> Observer:
    """*observer*, and around it what tells interactions if the settings ask for them."""
    return Interactions(session, observer) if settings().interactions else observer


class _Told(TypedDict, total=False):
    """The texts of one `Interaction`, under the names of its fields."""

    input_text: str
    envelope_input_text: str
    output_text: str


class _Texts(Protocol):
    """Where the texts of interactions come from."""

    def client(self, data: bytes) -> None:
        """The client sent *data*."""

    def server(self, data: bytes, answers: bool) -> None:
        """The server sent *data*, which *answers* something, or is a greeting or a prompt."""

    def said(self, events: Sequence[Event]) -> None:
        """The observer said *events*."""

    def take(self, with_answer: bool) -> _Told:
        """The texts of the interaction that is over."""


class Interactions:
    """An observer that tells the interactions of its session, and all that another observer says."""

    __slots__ = (
        "_answered_at",
        "_answered_clock",
        "_input_size",
        "_observer",
        "_output_size",
        "_quotes",
        "_session",
        "_since",
        "_texts",
    )
    in_content = False  # each line is looked at

    def __init__(self, session: Session, observer: Observer) -> None:
        self._session = session
        self._observer = observer
        self._texts: _Texts = _NO_TEXTS  # until the session has started
        self._since = self._answered_clock = 0.0
        self._answered_at = 0
        self._input_size = self._output_size = 0
        self._quotes = False  # the answer may quote an exception of the application

    @property
    def end_reason(self) -> str | None:
        """As the observer says."""
        return self._observer.end_reason

    @property
    def unfinished(self) -> bool:
        """As the observer says."""
        return self._observer.unfinished

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the client: they are a new input when the last one was answered."""
        if data and self._listens():
            if self._output_size:
                self._tell()
            if not self._input_size:
                self._since = time.monotonic()
            self._input_size += len(data)
            self._texts.client(data)
        events = self._observer.client_sent(data)
        self._texts.said(events)
        return events

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server: they answer, unless the client has not spoken yet."""
        events = self._observer.server_sent(data)
        if not self._listens():
            return events
        if self._input_size:
            self._output_size += len(data)
            self._answered_clock, self._answered_at = time.monotonic(), time.time_ns()
            self._quotes = self._quotes or self._session.raised
        self._texts.server(data, bool(self._input_size))
        self._texts.said(events)
        return events

    def finish(self) -> Sequence[Event]:
        """The connection is over; what the client sent last is told, answered or not."""
        events = self._observer.finish()
        self._texts.said(events)
        if self._input_size:
            self._tell()
        return events

    def _listens(self) -> bool:
        """Whether the session has started: before it has, the bytes are a proxy's, and its level is not known."""
        if self._texts is _NO_TEXTS and self._session.started:
            self._texts = _texts(self._session, self._observer)
        return self._texts is not _NO_TEXTS

    def _tell(self) -> None:
        answered = self._output_size > 0
        event = Interaction(
            input_size=self._input_size,
            output_size=self._output_size,
            duration=self._answered_clock - self._since if answered else None,
            **self._texts.take(with_answer=not self._quotes),
        )
        self._input_size = self._output_size = 0
        self._quotes = False
        self._session.record(event, timestamp=self._answered_at if answered else None)


class _NoTexts:
    """Sizes and durations are enough."""

    __slots__ = ()

    def client(self, data: bytes) -> None:
        pass

    def server(self, data: bytes, answers: bool) -> None:
        pass

    def said(self, events: Sequence[Event]) -> None:
        pass

    def take(self, with_answer: bool) -> _Told:
        return {}


_NO_TEXTS: Final = _NoTexts()


def _texts(session: Session, observer: Observer) -> _Texts:
    """Where the texts of *session* with *observer* come from."""
    if session.capture_level != "content":
        return _NoTexts()
    return _CommandTexts() if getattr(observer, "knows_secrets", True) else _FreeTexts()


class _CommandTexts:
    """The texts of the commands that an observer has seen through: whatever else was sent is told by its size."""

    __slots__ = ("_envelope", "_input", "_output")

    def __init__(self) -> None:
        self._input = self._output = ""
        self._envelope = False  # the input holds one

    def client(self, data: bytes) -> None:
        pass

    def server(self, data: bytes, answers: bool) -> None:
        pass

    def said(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Command):
                self._add(event)

    def _add(self, command: Command) -> None:
        argument = command.text if command.envelope_text is None else command.envelope_text
        self._envelope = self._envelope or command.envelope_text is not None
        self._input = _joined(self._input, command.command, argument)
        if command.reply_status != "none":
            answer = str(command.reply_code) if command.reply_code is not None else command.reply_status.upper()
            self._output = _joined(self._output, answer, command.reply_text)

    def take(self, with_answer: bool) -> _Told:
        told: _Told = {}
        if self._input:
            told["envelope_input_text" if self._envelope else "input_text"] = self._input
        if self._output and with_answer:
            told["output_text"] = self._output
        self._input = self._output = ""
        self._envelope = False
        return told


def _joined(text: str, word: str, rest: str | None) -> str:
    """*text* with a line more, as far as there is room."""
    line = f"{word} {rest}" if rest else word
    return (f"{text}\n{line}" if text else line)[:TEXT_LIMIT]


class _FreeTexts:
    """The bytes of both sides, of a protocol that nobody here knows."""

    __slots__ = ("_asked", "_input", "_output", "_prompt")

    def __init__(self) -> None:
        self._input = bytearray()
        self._output = bytearray()
        self._prompt = b""  # the end of what the server has shown so far
        self._asked: str | None = None  # the prompt that the input answers

    def client(self, data: bytes) -> None:
        if self._asked is None:
            self._asked = _decoded(self._prompt)
        self._input += data[: TEXT_LIMIT - len(self._input)]

    def server(self, data: bytes, answers: bool) -> None:
        self._prompt = (self._prompt + data)[-free_text.PROMPT :]
        if answers:
            self._output += data[: TEXT_LIMIT - len(self._output)]

    def said(self, events: Sequence[Event]) -> None:
        pass

    def take(self, with_answer: bool) -> _Told:
        told: _Told = {}
        input_text, output_text = _decoded(self._input), _decoded(self._output)
        if not free_text.holds_login(self._asked or "", input_text, output_text):
            told["input_text"] = input_text
            if output_text and with_answer:
                told["output_text"] = output_text
        self._input.clear()
        self._output.clear()
        self._asked = None
        return told


def _decoded(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "backslashreplace")
