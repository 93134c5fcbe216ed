"""Taps on the methods of one object: the library decides, ours only looks."""

from __future__ import annotations

from typing import Any

import pytest

from sessionspan import current_session, own
from sessionspan import settings as settings_module
from sessionspan.guard import guard
from sessionspan.object_taps import TapBefore, TapDuring, TapInSession, TapWrites, TapWritesMany
from sessionspan.opening import open_session
from sessionspan.testing import Recorder


class Line:
    """An object of a library, whose methods are called back."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def take(self, line: bytes, times: int = 1) -> bytes:
        """Take *line*."""
        if line == b"boom":
            raise KeyError(line)
        return line * times

    def write(self, data: Any) -> str:
        self.sent.append(data)
        return "written"

    def write_many(self, data: Any) -> None:
        self.write(b"".join(data))


def test_what_the_method_returns_and_raises_goes_through() -> None:
    seen: list[Any] = []
    line = Line()
    TapBefore(line, "take", lambda *args, **kwargs: seen.append((args, kwargs)))
    TapDuring(line, "take", lambda *args, **kwargs: seen.append("begins"), lambda: seen.append("ends"))
    assert line.take(b"x", times=2) == b"xx"
    with pytest.raises(KeyError):
        line.take(b"boom")
    assert seen == [
        "begins",
        ((b"x",), {"times": 2}),
        "ends",
        "begins",
        ((b"boom",), {}),
        "ends",
    ]


def test_what_else_is_asked_of_the_method_is_its_own() -> None:
    line = Line()
    tap = TapBefore(line, "take", lambda *args: None)
    assert (tap.__name__, tap.__self__, tap.__func__) == ("take", line, Line.take)
    assert not hasattr(tap, "nothing")


def test_what_was_there_is_put_back() -> None:
    line, other = Line(), Line()
    mine = line.write = lambda data: "mine"  # type: ignore[method-assign]
    taps = [TapBefore(line, "take", lambda *args: None), TapWrites(line, "write", lambda data: None)]
    assert line.write(b"x") == "mine"
    for tap in reversed(taps):
        tap.take_back()
        tap.take_back()
    assert vars(line) == {"sent": [], "write": mine}
    assert vars(other) == {"sent": []}


def test_what_somebody_put_over_ours_stays() -> None:
    line = Line()
    tap = TapBefore(line, "take", lambda *args: None)
    theirs = line.take = lambda *args: b"theirs"  # type: ignore[method-assign]
    tap.take_back()
    assert line.take is theirs


def test_a_look_that_fails_is_not_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSPAN_RAISE", "off")
    settings_module.reload()

    def fails(*args: Any) -> Any:
        raise ValueError("ours")

    before = guard.failures
    line = Line()
    TapBefore(line, "take", fails)
    TapDuring(line, "take", fails, fails)
    TapInSession(line, "take", fails, fails)
    TapWrites(line, "write", fails)
    TapWritesMany(line, "write_many", fails, fails)
    assert line.take(b"x") == b"x"
    assert line.write(b"x") == "written"
    line.write_many([b"x", b"y"])
    assert line.sent == [b"x", b"xy"]
    assert guard.failures > before
    guard.failures = before


def test_pieces_are_heard_as_one_however_they_are_given() -> None:
    heard: list[Any] = []
    line = Line()
    TapWritesMany(line, "write_many", heard.append, lambda: heard.append("sent"))
    line.write_many(iter([b"a", bytearray(b"b")]))
    assert line.sent == [b"ab"]
    assert heard == [None, "sent", b"ab"]


def test_it_runs_in_the_session_that_is_given_while_that_lasts(recorder: Recorder) -> None:
    seen: list[Any] = []

    class Looks:
        def take(self) -> None:
            seen.append(current_session())

    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)
    session = open_session(own.SCOPE, "POP3")
    assert session is not None
    session.start()
    looks = Looks()
    TapInSession(looks, "take", lambda: session)
    looks.take()
    assert current_session() is None
    session.end()
    looks.take()
    own.SCOPE.unbind()
    assert seen == [session, None]
