"""Log records that the application makes inside a session carry the session: four plain names.

They are set when the record has been made, and only where they are absent: a record factory would make an
application's own ``extra={"username": ...}`` raise KeyError.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Final

from sessionspan import names
from sessionspan.guard import guard
from sessionspan.session import current_session

# Over OTLP the record carries the semantic conventions' names, too.
_DOTTED: Final = {
    names.PLAIN_SESSION_ID: names.SESSION_ID,
    names.PLAIN_CLIENT_IP: names.CLIENT_ADDRESS,
    names.PLAIN_PROTOCOL: names.PROTOCOL_NAME,
    names.PLAIN_USERNAME: names.USER_NAME,
}

_original: Any = None
_users = 0


def install() -> None:
    """Stamp from now on; each call wants an `uninstall`."""
    global _original, _users
    _users += 1
    if _original is not None:
        return
    original = _original = logging.Logger.makeRecord

    @functools.wraps(original)
    def stamped(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = original(self, *args, **kwargs)
        _stamp(record)
        return record

    logging.Logger.makeRecord = stamped  # type: ignore[method-assign]


def uninstall() -> None:
    """Stop, once every `install` was taken back and nobody has wrapped over us."""
    global _original, _users
    _users = max(0, _users - 1)
    if _users or _original is None:
        return
    if getattr(logging.Logger.makeRecord, "__wrapped__", None) is _original:
        logging.Logger.makeRecord, _original = _original, None  # type: ignore[method-assign, assignment]


@guard
def _stamp(record: logging.LogRecord) -> None:
    session = current_session() if _users else None
    if session is not None:
        fields = vars(record)
        for key, value in session.plain_names().items():
            fields.setdefault(key, value)


@guard
def with_dotted_names(record: logging.LogRecord) -> logging.LogRecord:
    """A stamped *record* for OTLP: a copy, so that other handlers see the plain names only."""
    session = current_session()
    if session is None or vars(record).get(names.PLAIN_SESSION_ID) != session.id:
        return record
    dotted = logging.makeLogRecord(vars(record))
    for plain, value in session.plain_names().items():
        vars(dotted).setdefault(_DOTTED[plain], session.network_name if plain == names.PLAIN_PROTOCOL else value)
    return dotted
