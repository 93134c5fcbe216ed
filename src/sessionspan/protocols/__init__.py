"""Sans-io protocol observers: bytes of both sides in, events out; no I/O, no OpenTelemetry, never an error.

An observer has ``client_sent(data)`` and ``server_sent(data)``, which return the events that these bytes
complete, ``finish()`` for what the end of the connection leaves open, ``unfinished`` and ``end_reason``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from sessionspan.events import Event

# Asked with the commands that have no reply yet, each with a ``sequence``: the index of the one that the server
# is answering now, -1 for none. An instrumentation gives it to an observer when it hears each line as the server
# takes it, and the server goes on without having answered: replies may then come in any order, and a line that is
# taken while a reply is awaited is a command.
Which: TypeAlias = Callable[[Sequence[Any]], int]


class Observer(Protocol):
    """What every observer can do."""

    @property
    def end_reason(self) -> str | None:
        """Why the connection will end, as far as the dialogue says."""

    @property
    def unfinished(self) -> bool:
        """Whether the client would leave something half done if it went away now."""

    @property
    def in_content(self) -> bool:
        """Whether what the client sends now is content, of which lines may be told some at a time.

        Up to a line that is a dot, or to what the server says next.
        """

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the client; return the events that they complete."""

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server; return the events that they complete."""

    def finish(self) -> Sequence[Event]:
        """The connection is over: return the events of what was left open."""
