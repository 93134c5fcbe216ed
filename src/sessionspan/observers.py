"""The observers by the name of their protocol: one table, for servers that people wrote themselves."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from sessionspan.events import Event
    from sessionspan.protocols import Observer


class _Factory(NamedTuple):
    """Where the observer of a protocol is found, and how it is made; it is imported where it is used only."""

    module: str
    name: str
    options: Mapping[str, Any] = {}


# Not in lock-step: a server of one's own may take many lines at once.
OBSERVERS: Final[dict[str, _Factory]] = {
    "FTP": _Factory("sessionspan.protocols.ftp", "FTPObserver"),
    "IMAP": _Factory("sessionspan.protocols.imap", "IMAPObserver"),
    "LMTP": _Factory("sessionspan.protocols.smtp", "SMTPObserver", {"lmtp": True}),
    "MANAGESIEVE": _Factory("sessionspan.protocols.managesieve", "ManageSieveObserver"),
    "POP3": _Factory("sessionspan.protocols.pop3", "POP3Observer"),
    "SMTP": _Factory("sessionspan.protocols.smtp", "SMTPObserver"),
}
_NONE: Final = _Factory(__name__, "Silent")


@functools.lru_cache(maxsize=64)
def maker_of(protocol: str) -> Callable[[], Observer]:
    """What makes the observer of one connection that speaks *protocol* (in capitals), if there is one for it."""
    factory = OBSERVERS.get(protocol, _NONE)
    return functools.partial(getattr(importlib.import_module(factory.module), factory.name), **factory.options)


class Silent:
    """The observer of a protocol that there is none for, and of a dialogue of which only one side is heard."""

    __slots__ = ()
    knows_secrets = False  # so nothing of what it hears is known to be none
    end_reason: str | None = None
    unfinished = False
    in_content = False

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Nothing is told of the client's *data*."""
        return ()

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Nothing is told of the server's *data*."""
        return ()

    def finish(self) -> Sequence[Event]:
        """Nothing was left open."""
        return ()
