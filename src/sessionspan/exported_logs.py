"""Keeps a library's wire log from leaving by OTel's logging handler; the application's handlers are unchanged.

Some libraries log what peers sent, credentials included (aiosmtpd, after a failed AUTH LOGIN). A log record
processor behind a batch processor cannot take such a record back, so the handler is asked before it emits.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Final, NamedTuple

import wrapt

from sessionspan.guard import guard
from sessionspan.stamping import with_dotted_names


class LogFilter(NamedTuple):
    """Which records of one logger, and of those below it, may be exported; the root logger's name is empty."""

    logger: str
    admits: Callable[[logging.LogRecord], bool]


# The handler's class, by module: the one in use, and the SDK's deprecated one.
_HANDLERS: Final = ("opentelemetry.instrumentation.logging.handler", "opentelemetry.sdk._logs._internal")
_filters: list[LogFilter] = []
_hooked = False


def install() -> None:
    """Ask what is installed here before OTel's logging handler emits, whenever it is imported."""
    global _hooked
    if not _hooked:
        _hooked = True
        for module in _HANDLERS:
            wrapt.register_post_import_hook(_imported, module)


def add(log_filter: LogFilter) -> None:
    """From now on OTel's logging handler drops what *log_filter* does not admit."""
    _filters.append(log_filter)


def remove(log_filter: LogFilter) -> None:
    """Take *log_filter* back."""
    if log_filter in _filters:
        _filters.remove(log_filter)


def _admits(record: logging.LogRecord) -> bool:
    # A filter that fails admits nothing: better a line too few than a password too many.
    return all(guard(asked.admits)(record) for asked in _filters if _is_below(record.name, asked.logger))


def _is_below(name: str, logger: str) -> bool:
    return not logger or name == logger or name.startswith(f"{logger}.")


@guard
def _last_resort(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Print *record* as an application without any logging set-up expects it, when only *handler* is there.

    Python prints warnings to stderr while no handler is found (`logging.lastResort`). OTel's handler is one,
    so installing it alone would silence them.
    """
    last_resort = logging.lastResort
    if last_resort is None or record.levelno < last_resort.level:
        return
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if any(other is not handler for other in logger.handlers):
            return
        logger = logger.parent if logger.propagate else None
    last_resort.handle(record)


@guard
def _imported(module: ModuleType) -> None:
    handler = getattr(module, "LoggingHandler", None)
    if handler is None:
        return
    emit = handler.emit

    @functools.wraps(emit)
    def filtered(self: logging.Handler, record: logging.LogRecord) -> None:
        if not _filters or _admits(record):
            emit(self, with_dotted_names(record) or record)
        _last_resort(self, record)

    handler.emit = filtered
