"""Leaving in time: a process that goes ends its sessions and exports what is queued, within one second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from sessionspan import activity_log, live
from sessionspan.guard import guard

LIMIT: Final = 1.0  # seconds, for all of it
ENDING: Final = 0.25  # of it for ending the sessions: one that cannot end must not keep the rest from leaving


def end_sessions(start: float) -> None:
    """End every open session because the process goes, which it began to do at *start* (`time.monotonic`)."""
    threads = _started([lambda: live.end_all("process_exit")], "sessionspan-end")
    _join(threads, start + ENDING)


def flush(deadline: float, *, with_metrics: bool = True) -> None:
    """Export what is queued, all signals at once, until *deadline* (`time.monotonic`).

    ``force_flush`` of the SDK takes no notice of its own timeout, so each runs in a thread that is left
    behind when it hangs.
    """
    providers: list[Any] = [trace.get_tracer_provider(), get_logger_provider()]
    if with_metrics:
        providers.append(metrics.get_meter_provider())
    work: list[Callable[[], object]] = [activity_log.flush]
    work += [provider.force_flush for provider in providers if hasattr(provider, "force_flush")]
    _join(_started(work, "sessionspan-flush"), deadline)


def _started(work: list[Callable[[], object]], name: str) -> list[threading.Thread]:
    threads = [threading.Thread(target=guard(each), daemon=True, name=name) for each in work]
    for thread in threads:
        thread.start()
    return threads


def _join(threads: list[threading.Thread], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
