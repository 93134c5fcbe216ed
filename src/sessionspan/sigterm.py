"""SIGTERM: open sessions end and are exported before the process goes, within one second.

A default SIGTERM runs no ``atexit``: every open span and every queued event would be lost. A signal handler
must not end spans itself, for the main thread may hold a span's lock. So the handler's first call only
starts a thread and returns; the thread does the work and signals the main thread again; the handler's second
call restores the default action and re-raises, so that the process ends by the signal as it would have.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from types import FrameType
from typing import Final

from sessionspan.guard import guard
from sessionspan.leaving import LIMIT, end_sessions, flush
from sessionspan.settings import settings

AGAIN: Final = 0.05  # seconds between two signals to a main thread that has not heard the first

_thread: threading.Thread | None = None
_again = False  # the signal came once more while the thread was at work
_done = False


@guard
def install() -> None:
    """Install the handler: in the main thread, and only where nobody else handles SIGTERM."""
    if (
        settings().sigterm
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _handle)
        atexit.register(_finish)


def _handle(number: int, frame: FrameType | None) -> None:
    global _thread, _again
    if _done and _may_end_the_process():
        _end_by_signal()
    elif _thread is not None and _thread.is_alive():
        _again = True
    else:
        thread = threading.Thread(target=_leave, name="sessionspan-sigterm", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads or memory: then without a word, but not never
            if _may_end_the_process():
                _end_by_signal()
        else:
            _thread = thread


def _end_by_signal() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


def _may_end_the_process() -> bool:
    # The kernel does not deliver a default SIGTERM to PID 1: without us it would have gone on, so it does.
    # An application's handler that calls ours as the one before it has its own plan.
    return os.getpid() != 1 and signal.getsignal(signal.SIGTERM) is _handle


def _leave() -> None:
    global _again, _done
    ending = _may_end_the_process()
    start = time.monotonic()
    with guard:
        if ending:
            end_sessions(start)
        flush(start + LIMIT)
        while _again and not ending:
            _again = False
            flush(time.monotonic() + LIMIT)
    main = threading.main_thread().ident
    if ending and main is not None:
        _done = True
        while _may_end_the_process():
            # Python runs the handler between two instructions: a signal that comes just before the main thread
            # waits in a system call is seen when that returns, and the next one makes it return.
            signal.pthread_kill(main, signal.SIGTERM)
            time.sleep(AGAIN)


@guard
def _finish() -> None:
    """At exit: a main thread that only waited for the signal may be at its end before our thread is at its own."""
    if _thread is not None and _may_end_the_process():
        _thread.join(LIMIT)


def _after_fork() -> None:
    global _thread, _again, _done
    _thread, _again, _done = None, False, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
