"""`Session.info` and its siblings: the application's own lines, by stdlib logging.

They go to the logger ``sessionspan.app`` and nowhere else: OTel's logging handler exports them when it is
installed, so they are never emitted a second time.
"""

from __future__ import annotations

import logging
from logging import DEBUG, ERROR, INFO, WARNING
from typing import TYPE_CHECKING, Final

from sessionspan.guard import guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionspan.session import Session

__all__ = ["DEBUG", "ERROR", "INFO", "WARNING", "log"]

_logger = logging.getLogger("sessionspan.app")

# `Logger.makeRecord` raises KeyError for these in `extra`.
_RESERVED: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@guard
def log(level: int, session: Session, message: str, fields: Mapping[str, object]) -> None:
    """Log *message* with *fields* and the session's plain names; a reserved field name gets a ``_`` behind."""
    if not _logger.isEnabledFor(level):
        return
    extra = {f"{key}_" if key in _RESERVED else key: value for key, value in fields.items()}
    extra = session.plain_names() | extra
    with session.active():
        # 4: the line of the application that called Session.info, behind this function and its guard.
        _logger.log(level, message, extra=extra, stacklevel=4)
