"""The one thread by which long sessions say that they go on: a span is exported only when its session ends.

It starts with the first session. Every `INTERVAL` it looks for sessions that are older; when none is open then, it
ends, until the next one opens. A fork finds it gone, so that no lock which it held is held in the child for ever.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol
from weakref import ref

from sessionspan.guard import guard

INTERVAL = 60.0  # seconds from one heartbeat of a session to its next, and from its start to the first

# A thousand sessions that beat at once would push everybody's events out of the exporter's queue.
_AT_ONCE: Final = 100
_PAUSE: Final = 0.1  # seconds between so many
_PATIENCE: Final = 1.0  # seconds for which a fork waits for a heartbeat that is being told


class Beats(Protocol):
    """What is asked of a session here."""

    def beat(self, interval: float) -> None:
        """Say that it goes on, when it is older than *interval* (s)."""


_lock = threading.Lock()
_thread: _Thread | None = None


def ensure(open_sessions: Callable[[], list[Beats]]) -> None:
    """A session has opened: see to it that the thread runs, which asks for the *open_sessions*."""
    if _thread is None:
        _start(open_sessions, time.monotonic() + INTERVAL)


def stop() -> None:
    """End the thread, until the next session opens."""
    global _thread
    thread, _thread = _thread, None
    if thread is not None and thread is not threading.current_thread():
        thread.stopped.set()
        thread.join(_PATIENCE)


def _start(open_sessions: Callable[[], list[Beats]], due: float) -> None:
    global _thread
    with _lock:
        if _thread is not None:
            return
        thread = _Thread(open_sessions, due)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is at its end: then without heartbeats
            return
        _thread = thread


class _Thread(threading.Thread):
    """Lets the *open_sessions* beat when it is *due*, and then once in an interval."""

    def __init__(self, open_sessions: Callable[[], list[Beats]], due: float) -> None:
        super().__init__(name="sessionspan-heartbeat", daemon=True)
        self.open_sessions = open_sessions
        self.due = due  # by time.monotonic
        self.stopped = threading.Event()

    def run(self) -> None:
        """Until it is stopped, or no session is open."""
        while not self.stopped.wait(max(0.0, self.due - time.monotonic())):
            with guard:
                self._beat()
            self.due = time.monotonic() + INTERVAL
            if self._leaves():
                return

    def _beat(self) -> None:
        # Weakly: a session that nobody else holds any more shall not wait for us.
        sessions = [ref(session) for session in self.open_sessions()]
        for number, each in enumerate(sessions, 1):
            session = each()
            if session is not None:
                session.beat(INTERVAL)
            del session
            if number % _AT_ONCE == 0 and self.stopped.wait(_PAUSE):
                return

    def _leaves(self) -> bool:
        """Leave, when no session is open. One that opens from now on finds nobody, and starts another."""
        global _thread
        if self.open_sessions():
            return False
        with _lock:
            if _thread is self:
                _thread = None
        if not self.open_sessions():
            return True
        with _lock:  # one has opened just before, and may have found us
            if _thread is None:
                _thread = self
            return _thread is not self


_stopped: _Thread | None = None  # for a fork


@guard
def _before_fork() -> None:
    global _stopped
    _stopped = _thread
    stop()


@guard
def _after_fork_in_parent() -> None:
    global _stopped
    stopped, _stopped = _stopped, None
    if stopped is not None and stopped.open_sessions():
        _start(stopped.open_sessions, stopped.due)


def _after_fork_in_child() -> None:
    global _lock, _thread, _stopped
    _lock = threading.Lock()
    _thread = _stopped = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
