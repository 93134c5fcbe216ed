"""`Session.info` and its siblings: the application's own lines, by stdlib logging.

They go to the logger ``sessionspan.app`` and nowhere else: OTel's logging handler exports them when it is
installed, so they are never emitted a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Final

__all__ = ["DEBUG", "ERROR", "INFO", "WARNING", "is_enabled_for", "log"]

_logger = logging.getLogger("sessionspan.app")

# `Logger.makeRecord` raises KeyError for these in `extra`.
_RESERVED: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def is_enabled_for(level: int) -> bool:
    """Whether the logger takes lines of *level*."""
    return _logger.isEnabledFor(level)


def log(level: int, message: str, stamp: Mapping[str, object], fields: Mapping[str, object]) -> None:
    """Log *message* with *fields*, and with *stamp* where they say nothing else.

    A field whose name stdlib logging reserves gets a ``_`` behind it.
    """
    named = {f"{key}_" if key in _RESERVED else key: value for key, value in fields.items()}
    # 5: the line of the application, behind this function, Session._log, its guard and Session.info.
    _logger.log(level, message, extra={**stamp, **named}, stacklevel=5)
