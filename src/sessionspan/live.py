"""The sessions that are open in this process, and how they end when it does.

A span that is still open at interpreter exit is lost. So our `atexit` ends what is open, and it must
run before the provider's own: exit hooks run last in, first out, hence ours is registered again
whenever the providers have changed.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from typing import Protocol
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry._logs import get_logger_provider

from sessionspan import activity_log, heartbeat
from sessionspan.guard import guard


class Live(Protocol):
    """What is asked of a session here."""

    def end(self, reason: str | None = None) -> None:
        """End it, because of *reason*."""

    def disown(self) -> None:
        """Leave it to the process that this one was forked from."""

    def beat(self, interval: float) -> None:
        """Say that it goes on, when it is older than *interval* (s)."""


_lock = threading.Lock()
_open: WeakSet[Live] = WeakSet()
_orphans: deque[Live] = deque()
_used = False
_hooked_after: tuple[object, object] = (None, None)


def add(session: Live) -> None:
    """*session* has started."""
    global _used
    _used = True
    with _lock:
        _open.add(session)
    _register_exit()
    if _orphans:
        end_orphans()
    heartbeat.ensure(_beating)


def _beating() -> list[heartbeat.Beats]:
    """The sessions that have a heartbeat; those that were dropped end here, when no other opens."""
    end_orphans()
    return [*open_sessions()]


def remove(session: Live) -> None:
    """*session* has ended."""
    with _lock:
        _open.discard(session)


def was_used() -> bool:
    """Whether a session has started in this process; what happened before it was forked does not count."""
    return _used


def open_sessions() -> list[Live]:
    """The sessions that are open now."""
    with _lock:
        return list(_open)


def orphan(session: Live) -> None:
    """Nobody holds *session* any more, and nobody has ended it.

    Called by the garbage collector, in whatever code it interrupted, maybe holding locks of the SDK: so
    the session is only kept here, and ended by the next one that opens, or at exit.
    """
    _orphans.append(session)


def end_orphans() -> None:
    """End the sessions that were dropped without an end."""
    while _orphans:
        try:
            session = _orphans.popleft()
        except IndexError:  # also when another thread was quicker
            return
        session.end("garbage_collected")


def end_all(reason: str) -> None:
    """End every open session because of *reason*."""
    end_orphans()
    for session in open_sessions():
        session.end(reason)


@guard
def _at_exit() -> None:
    end_all("process_exit")
    activity_log.flush()


def _register_exit() -> None:
    global _hooked_after
    tracers, loggers = trace.get_tracer_provider(), get_logger_provider()
    if tracers is _hooked_after[0] and loggers is _hooked_after[1]:
        return
    with _lock:
        _hooked_after = (tracers, loggers)
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)


@guard
def _after_fork() -> None:
    # The child owns nothing of its parent's: the parent ends these sessions, in its own telemetry.
    global _lock, _used
    _lock = threading.Lock()
    _used = False
    _orphans.clear()
    for session in list(_open):
        session.disown()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
