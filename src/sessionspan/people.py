"""What a session is for people: its lines in the application's log, and its forms for an answer or a header."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any, Protocol

from sessionspan import app_log, names
from sessionspan.events import Value
from sessionspan.guard import guard


class _Session(Protocol):
    """What is shown of a session here."""

    protocol: str
    _started_at: int

    @property
    def id(self) -> str: ...

    @property
    def client_ip(self) -> str | None: ...

    @property
    def username(self) -> str | None: ...

    def active(self) -> AbstractContextManager[Any]: ...

    def plain_names(self) -> dict[str, Value]: ...

    def to_dict(self) -> dict[str, str | None]: ...

    def _log(self, level: int, message: str, fields: dict[str, object]) -> None: ...


class ForPeople:
    """What applications say by their session, and show of it."""

    __slots__ = ()

    def debug(self: _Session, message: str, /, **fields: object) -> None:
        """Log *message* at DEBUG to the stdlib logger ``sessionspan.app``, with *fields* and this session."""
        self._log(app_log.DEBUG, message, fields)

    def info(self: _Session, message: str, /, **fields: object) -> None:
        """Log *message* at INFO; see `debug`."""
        self._log(app_log.INFO, message, fields)

    def warning(self: _Session, message: str, /, **fields: object) -> None:
        """Log *message* at WARNING; see `debug`."""
        self._log(app_log.WARNING, message, fields)

    def error(self: _Session, message: str, /, **fields: object) -> None:
        """Log *message* at ERROR; see `debug`."""
        self._log(app_log.ERROR, message, fields)

    @guard
    def _log(self: _Session, level: int, message: str, fields: dict[str, object]) -> None:
        if app_log.is_enabled_for(level):
            with self.active():
                app_log.log(level, message, self.plain_names(), fields)

    def to_dict(self: _Session) -> dict[str, str | None]:
        """When the session started, and its plain names: session_id, client_ip, protocol, username."""
        started = datetime.fromtimestamp(self._started_at / 1e9, timezone.utc)
        return {
            "timestamp": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            names.PLAIN_SESSION_ID: self.id,
            names.PLAIN_CLIENT_IP: self.client_ip,
            names.PLAIN_PROTOCOL: self.protocol,
            names.PLAIN_USERNAME: self.username,
        }

    def to_json(self: _Session) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    def header_value(self: _Session) -> str:
        """The value for an ``X-Session-Id`` header: the session's id."""
        return self.id
