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

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from sessionspan import activity_log, live
from sessionspan.guard import guard
from sessionspan.settings import settings

LIMIT: Final = 1.0  # seconds, from the signal to the end
ENDING: Final = 0.25  # of it for ending the sessions: one that cannot end must not keep the rest from leaving

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
            _within(start + ENDING, lambda: live.end_all("process_exit"))
        flush(start + LIMIT)
        while _again and not ending:
            _again = False
            flush(time.monotonic() + LIMIT)
    main = threading.main_thread().ident
    if ending and main is not None:
        _done = True
        signal.pthread_kill(main, signal.SIGTERM)


@guard
def _finish() -> None:
    """At exit: a main thread that only waited for the signal may be at its end before our thread is at its own."""
    if _thread is not None and _may_end_the_process():
        _thread.join(LIMIT)


def flush(deadline: float) -> None:
    """Export what is queued, all signals at once, until *deadline* (`time.monotonic`).

    ``force_flush`` of the SDK takes no notice of its own timeout, so each runs in a thread that is left
    behind when it hangs.
    """
    providers = (trace.get_tracer_provider(), get_logger_provider(), metrics.get_meter_provider())
    flushes = [activity_log.flush, *(p.force_flush for p in providers if hasattr(p, "force_flush"))]
    threads = [threading.Thread(target=guard(each), daemon=True, name="sessionspan-flush") for each in flushes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _within(deadline: float, work: object) -> None:
    thread = threading.Thread(target=guard(work), daemon=True, name="sessionspan-end")  # type: ignore[arg-type]
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))


def _after_fork() -> None:
    global _thread, _again, _done
    _thread, _again, _done = None, False, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
