"""Sans-io protocol observers: bytes of both sides in, events out; no I/O, no OpenTelemetry, never an error.

An observer has ``client_sent(data)`` and ``server_sent(data)``, which return the events that these bytes
complete, ``finish()`` for what the end of the connection leaves open, ``unfinished`` and ``end_reason``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sessionspan.events import Event


class Observer(Protocol):
    """What every observer can do."""

    @property
    def end_reason(self) -> str | None:
        """Why the connection will end, as far as the dialogue says."""

    @property
    def unfinished(self) -> bool:
        """Whether the client would leave something half done if it went away now."""

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the client; return the events that they complete."""

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server; return the events that they complete."""

    def finish(self) -> Sequence[Event]:
        """The connection is over: return the events of what was left open."""
