"""Forked processes: what they export with, and that they leave with their sessions told.

A fork ends by ``os._exit``, which runs no exit hooks: a handler of ``socketserver.ForkingMixIn``, a worker of
``multiprocessing``, most that are written by hand. What its sessions said, and the SDK still holds, would be
lost with it. So in a fork that had a session of its own ``os._exit`` ends and exports first, within `LIMIT`.
"""

from __future__ import annotations

import copy
import functools
import os
import time
from types import ModuleType
from typing import Any, Final
from weakref import WeakSet

import wrapt

from sessionspan import live
from sessionspan.guard import guard
from sessionspan.leaving import LIMIT, end_sessions, flush
from sessionspan.scope import Scope
from sessionspan.wrappers import before

_really_exit: Final = os._exit
_installed = False
_is_fork = False


@guard
def install() -> None:
    """Look after the forks of this process from now on."""
    global _installed
    if not _installed:
        _installed = True
        for module in _SENDERS:
            wrapt.register_post_import_hook(_sender_imported, module)


def serves_one_connection(scope: Scope) -> None:
    """This process may be a fork that serves one connection only: its metrics are left out.

    Each such process would be an instance with series of its own, or write over those of the others; and what
    counts may hold a lock that another thread had when the process was forked.
    """
    if _is_fork:
        scope.metrics = None


@functools.wraps(os._exit)
def _exit(*args: Any, **kwargs: Any) -> None:
    try:
        _say_last_words()
    finally:
        _really_exit(*args, **kwargs)


@guard
def _say_last_words() -> None:
    if live.was_used():
        start = time.monotonic()
        end_sessions(start)
        flush(start + LIMIT, with_metrics=False)


def _after_fork() -> None:
    global _is_fork
    _is_fork = True
    _renewed.clear()
    if _installed:
        os._exit = _exit  # type: ignore[assignment]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# The connections of the OTLP exporters over HTTP: a fork that used those of its parent would write into the middle
# of what the parent or another fork sends (opentelemetry-python #4994).

_SENDERS: Final = {
    "opentelemetry.exporter.http.transport._requests": "RequestsHTTPTransport.request",
    # Before 1.45:
    "opentelemetry.exporter.otlp.proto.http.trace_exporter": "OTLPSpanExporter.export",
    "opentelemetry.exporter.otlp.proto.http._log_exporter": "OTLPLogExporter.export",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter": "OTLPMetricExporter.export",
}
_renewed: Final[WeakSet[Any]] = WeakSet()


@guard
def _sender_imported(module: ModuleType) -> None:
    kind, _, method = _SENDERS[module.__name__].partition(".")
    sender = getattr(module, kind, None)
    if hasattr(sender, method):
        setattr(sender, method, before(_renew_connections)(getattr(sender, method)))


def _renew_connections(sender: Any, *args: Any, **kwargs: Any) -> None:
    if not _is_fork or sender in _renewed:
        return
    _renewed.add(sender)
    adapters = getattr(getattr(sender, "_session", None), "adapters", {})
    for prefix, adapter in adapters.items():
        adapters[prefix] = copy.copy(adapter)  # requests: a copy has the settings, and no connections
